//! Hardening, for the `secure` feature.
//!
//! Each block ends with a *seal* of eight bytes: a keyed hash of the block's address, with what was
//! asked for and whether it is free in the middle bits. The bytes between what was asked for and the
//! seal are filled, as far as one word. So a write beyond the end meets the fill or the seal, and is
//! seen when the block is freed or resized; a write before the beginning meets the seal of the block
//! before, and is seen when either is freed; and a layout that is not the block's does not fit its seal.
//! A free block keeps its seal, begins with an encoded link, and is zero up to
//! [`ZEROED_BYTES`]: what is written to its first bytes is seen when it is handed out.

use core::alloc::Layout;
use core::cell::Cell;
use core::ptr::{self, NonNull};

pub(crate) use super::seal::{Key, SEAL_BYTES};
use super::seal::{Says, faults, is_preceded, last_word, seal, seal_at, spilled};
pub(crate) use super::secret::prepare;
use super::{nothing, secret};
use crate::base::address::align_up;
use crate::base::atomic::Ordering;
use crate::base::config::{CHUNK_BYTES, INLINE_LIMIT, MAX_BLOCK_ALIGN, MAX_BLOCK_BYTES};
use crate::block::free_list::{Block, FreeList};
use crate::block::size_class::{CLASS_ALIGN, Class, Route};
use crate::memory::slab::{Carved, Slab};
use crate::os::fatal;

/// Whether anything is done here.
pub(crate) const ON: bool = true;

/// Most blocks carved at a time: so many have a random order.
const CARVED_AT_ONCE: u32 = 256;

/// Bytes of a block that are zeroed when it is freed: a page of them would cost more than the rest.
const ZEROED_BYTES: usize = 1024;

/// What the link needs of a free block.
const HEAD_BYTES: usize = size_of::<Link>();

/// What is looked at when a block is handed out: the link, and a cache line in which most writes through stale
/// pointers begin.
const FIRST_BYTES: usize = HEAD_BYTES + 4 * PAIR_BYTES;

const WORD_BYTES: usize = size_of::<u64>();

/// In which blocks are zeroed and looked at: two words, so that one instruction does it.
const PAIR_BYTES: usize = 2 * WORD_BYTES;

/// The shortest block with a pair between link and seal.
const LEAST_OF_PAIRS: usize = HEAD_BYTES + PAIR_BYTES + SEAL_BYTES;

// ---- where a layout lives ----

/// The class of a layout whose size is below [`INLINE_LIMIT`] and whose alignment every class has: as
/// `size_class::inline_class`, with the seal.
#[inline(always)]
pub(crate) const fn inline_class(layout: Layout) -> Option<Class> {
    if layout.size() >= INLINE_LIMIT || layout.align() > CLASS_ALIGN {
        return None;
    }
    Some(Class::of_inline(layout.size().wrapping_add(SEAL_BYTES)))
}

/// Where `layout` lives: as `size_class::route`, with the seal.
#[inline]
pub(crate) const fn route(layout: Layout) -> Route {
    if layout.align() > MAX_BLOCK_ALIGN || layout.size() > MAX_BLOCK_BYTES.wrapping_sub(SEAL_BYTES) {
        return Route::Large;
    }
    Route::Small(Class::of(align_up(layout.size().wrapping_add(SEAL_BYTES), layout.align())))
}

// ---- allocations ----

/// Notes that the caller of the block at `start` now asks for `layout`.
#[inline(always)]
pub(crate) fn seal_for(start: NonNull<u8>, class: Class, layout: Layout) {
    let start = start.as_ptr();
    // SAFETY: the block is the caller's, and of a class that has room for it. What is in it stays.
    unsafe {
        let block_bytes = class.shape().block as usize;
        let found = last_word(start, layout.size(), block_bytes);
        seal(start, Key::of(start).mask(), block_bytes, layout, found);
    }
}

/// Bytes of a block that are zero while it is free, but for its link.
#[inline(always)]
fn zeroed(block_bytes: usize) -> usize {
    block_bytes.min(ZEROED_BYTES.wrapping_add(SEAL_BYTES)).wrapping_sub(SEAL_BYTES)
}

/// The places of the pairs of words in the cache line behind a block's head, of which the last begins at
/// `last`: always as many, where there are fewer the last one again, so that there is no jump to
/// be foretold.
#[inline(always)]
fn first_pairs(last: usize) -> [usize; 4] {
    [0, 1, 2, 3].map(|pair: usize| pair.wrapping_mul(PAIR_BYTES).wrapping_add(HEAD_BYTES).min(last))
}

/// The block as the caller's memory: nobody has written to it, and its first bytes are zero.
#[inline(always)]
pub(crate) fn hand_out(block: Block, class: Class, layout: Layout) -> NonNull<u8> {
    let block_bytes = class.shape().block as usize;
    let key = block.key();
    let start = clear_head(block);
    // SAFETY: the places are in the block, which is this function's own.
    let at = |place: usize| unsafe { start.byte_add(place) };
    let found = if block_bytes < LEAST_OF_PAIRS {
        // SAFETY: as above. In a block of two words, the head.
        unsafe { at(block_bytes.wrapping_sub(SEAL_BYTES + WORD_BYTES)).cast::<u64>().read() }
    } else {
        first_pairs(block_bytes.wrapping_sub(SEAL_BYTES + PAIR_BYTES)).into_iter().fold(0, |found, place| {
            // SAFETY: as above.
            let [first, second] = unsafe { at(place).cast::<[u64; 2]>().read() };
            found | first | second
        })
    };
    if found != 0 {
        return issue_although_written(start, class, layout);
    }
    // SAFETY: as above; what is left of the word is zero.
    unsafe { seal(start.as_ptr(), key.mask(), block_bytes, layout, 0) };
    start
}

/// A block that was never used.
pub(crate) fn hand_out_fresh(block: Block, class: Class, layout: Layout) -> NonNull<u8> {
    let key = block.key();
    let start = clear_head(block);
    // SAFETY: the block is this function's own, and all of it zero.
    unsafe { seal(start.as_ptr(), key.mask(), class.shape().block as usize, layout, 0) };
    start
}

/// The block without its link.
#[inline(always)]
fn clear_head(block: Block) -> NonNull<u8> {
    let start = block.into_raw();
    // SAFETY: every block has two words, and this one is the caller's.
    unsafe { start.cast::<u64>().write(0) };
    start
}

#[cold]
#[inline(never)]
fn issue_although_written(start: NonNull<u8>, class: Class, layout: Layout) -> NonNull<u8> {
    fatal::caught("write to a free block", start.addr().get());
    seal_for(start, class, layout);
    start
}

/// Prepares the blocks just carved, from the place `from` on: seals, and zeroes where memory was
/// used before. All of them look free.
pub(crate) fn prepare_carved(slab: &Slab, from: usize, carved: &Carved) {
    carved.block.link(ptr::null_mut());
    let block_bytes = slab.block_bytes();
    for place in (from..slab.carved_bytes()).step_by(block_bytes.max(1)) {
        let start: *mut u8 = ptr::with_exposed_provenance_mut(slab.base().wrapping_add(place));
        if !carved.zero {
            let head = start.wrapping_add(HEAD_BYTES);
            // SAFETY: the block is free or not handed out yet, and that long.
            unsafe { head.write_bytes(0, zeroed(block_bytes).saturating_sub(HEAD_BYTES)) };
        }
        // SAFETY: as above.
        let seal = unsafe { seal_at(start, block_bytes) };
        seal.store(Key::of(start).mask().seal(Says::FREE), Ordering::Relaxed);
    }
}

// ---- frees ----

/// The key of the block of `slab` that begins at `start`, `place` bytes from the first, if all was well with
/// it, and it is free now: what its seal said and says is changed in one step, so that of two who free a block
/// at the same moment one is told. `layout`: what it is said to be.
#[inline(always)]
pub(crate) fn check_fast(slab: &Slab, start: *const u8, place: usize, layout: Option<Layout>) -> Option<Key> {
    let block_bytes = slab.block_bytes();
    // SAFETY: a block of that length begins here.
    if !unsafe { is_preceded(start, block_bytes, place) } {
        return None;
    }
    let key = Key::of(start);
    let mask = key.mask();
    // SAFETY: as above.
    let seal = unsafe { seal_at(start, block_bytes) };
    let found = seal.load(Ordering::Relaxed);
    let wrong = match layout {
        Some(layout) => {
            // SAFETY: as above.
            let spilled = unsafe { spilled(start, mask, layout.size(), block_bytes) };
            (found ^ mask.seal(Says::layout(layout))) | spilled | Says::excess(layout)
        }
        // SAFETY: as above.
        None => unsafe { faults(mask, mask.open(found), start, block_bytes) },
    };
    if wrong != 0 {
        return None;
    }
    // Relaxed: who frees the block passes it on by other words, and who is refused does nothing with it.
    let freed = seal.compare_exchange(found, mask.seal(Says::FREE), Ordering::Relaxed, Ordering::Relaxed);
    freed.ok().map(|_| key)
}

/// As [`accepts`], or what is wrong with the block.
#[cold]
pub(crate) fn accepts_or_says(
    slab: &Slab,
    start: *const u8,
    layout: Option<Layout>,
) -> Result<Key, &'static str> {
    match diagnose(slab, start, layout) {
        Some(fault) => Err(fault),
        // Somebody else was faster.
        None => check_fast(slab, start, start.addr().wrapping_sub(slab.base()), layout).ok_or(TWICE),
    }
}

/// What is said of a block that is free already.
const TWICE: &str = "double free";

/// What is wrong with the block of `slab` at `start`, if anything is. `layout`: what it is said to be.
#[cold]
pub(crate) fn diagnose(slab: &Slab, start: *const u8, layout: Option<Layout>) -> Option<&'static str> {
    let block_bytes = slab.block_bytes();
    // SAFETY: a block of the slab begins here.
    let seal = unsafe { seal_at(start, block_bytes) }.load(Ordering::Relaxed);
    let mask = Key::of(start).mask();
    let says = mask.open(seal);
    if says.is_free() {
        return Some(TWICE);
    }
    // SAFETY: as above.
    if unsafe { faults(mask, says, start, block_bytes) } != 0 {
        return Some("write beyond the end of a block");
    }
    // SAFETY: as above.
    if !unsafe { is_preceded(start, block_bytes, start.addr().wrapping_sub(slab.base())) } {
        return Some("write before the beginning of a block");
    }
    let layout = layout?;
    let fits = matches!(route(layout), Route::Small(class) if class == slab.class());
    if fits && says == Says::layout(layout) && Says::excess(layout) == 0 {
        None
    } else {
        Some("layout not the one allocated with,")
    }
}

/// Bytes that the caller of a block of `block_bytes` at `start` asked for.
pub(crate) fn usable(start: *const u8, block_bytes: usize) -> usize {
    // SAFETY: a block of that length begins here.
    let seal = unsafe { seal_at(start, block_bytes) }.load(Ordering::Relaxed);
    let says = Key::of(start).mask().open(seal);
    // One whose seal is broken has nothing to use.
    if says.is_whole() { says.size().min(block_bytes.wrapping_sub(SEAL_BYTES)) } else { 0 }
}

/// Gives back a block of no bytes: whether it was in use; none where `start` is no such address.
pub(crate) fn free_nothing(start: NonNull<u8>) -> Option<bool> {
    let address = start.addr().get();
    if nothing::contains(address) { Some(nothing::free(address)) } else { None }
}

/// A block of no bytes, where those are apart.
pub(crate) fn allocate_nothing() -> Option<NonNull<u8>> {
    nothing::allocate()
}

/// Whether a block of no bytes, in use, is at `start`.
pub(crate) fn is_nothing(start: NonNull<u8>) -> bool {
    nothing::is_used(start.addr().get())
}

/// Bytes of the slab's blocks, where that matters.
#[inline(always)]
pub(crate) fn block_bytes(slab: &Slab) -> usize {
    slab.block_bytes()
}

/// Whether the blocks are long enough for their retiring to be a call of its own.
#[inline(always)]
pub(crate) const fn is_long(block_bytes: usize) -> bool {
    block_bytes > FIRST_BYTES + SEAL_BYTES
}

/// Prepares a block, whose seal says that it is free, for its list: zeroes.
#[inline(always)]
pub(crate) fn clear_for_list(start: NonNull<u8>, block_bytes: usize) {
    // Not one byte further than what is zeroed: others may be looking at the seal.
    // SAFETY: the caller gave the block up, and it is that long.
    let at = |place: usize| unsafe { start.byte_add(place) };
    if block_bytes < LEAST_OF_PAIRS {
        // SAFETY: as above.
        unsafe { at(block_bytes.wrapping_sub(SEAL_BYTES + WORD_BYTES)).cast::<u64>().write(0) };
    } else {
        for place in first_pairs(block_bytes.wrapping_sub(SEAL_BYTES + PAIR_BYTES)) {
            // SAFETY: as above.
            unsafe { at(place).cast::<[u64; 2]>().write([0; 2]) };
        }
        if is_long(block_bytes) {
            // SAFETY: as above.
            unsafe { at(FIRST_BYTES).write_bytes(0, zeroed(block_bytes).wrapping_sub(FIRST_BYTES)) };
        }
    }
}

/// Prepares a mapping that was used before for another use: it begins with zeroes, as blocks do.
///
/// # Safety
/// So many bytes from `start` are the caller's, and nothing refers to them.
pub(crate) unsafe fn clear_for_reuse(start: NonNull<u8>, bytes: usize) {
    // SAFETY: forwarded to the caller.
    unsafe { start.write_bytes(0, bytes.min(ZEROED_BYTES)) };
}

// ---- lists ----

/// A link of a list of free blocks, encoded with the key of the one where it lies.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct Link(u64);

/// The bits in which the addresses of two blocks of a chunk may differ.
const STEP_BITS: usize = CHUNK_BYTES - WORD_BYTES;

impl Link {
    /// The link from the block with this key to the one at `to`.
    #[inline(always)]
    pub(crate) fn new(key: Key, to: *mut u8) -> Self {
        Self(to.addr() as u64 ^ key.link())
    }

    /// Where the link in the block at `from` leads, if that is in the same chunk.
    #[inline(always)]
    pub(crate) fn follow(self, key: Key, from: *const u8) -> Option<*mut u8> {
        let to = (self.0 ^ key.link()) as usize;
        if (to ^ from.addr()) & !STEP_BITS != 0 {
            return None;
        }
        Some(ptr::with_exposed_provenance_mut(to))
    }

    /// Where one leads that cannot be followed: nowhere. Unless the list ends there the link is broken, and
    /// where the process goes on what was behind it is never used again.
    #[cold]
    #[inline(never)]
    pub(crate) fn end(self, key: Key, from: *const u8) -> *mut u8 {
        if self.0 != key.link() {
            fatal::caught("write to a free block", from.addr());
        }
        ptr::null_mut()
    }
}

/// What tells a free block from a used one, beside its link: nothing, for its seal does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tag;

impl Tag {
    pub(crate) const USED: Self = Self;

    #[inline(always)]
    pub(crate) const fn free(_start: *const u8) -> Self {
        Self
    }
}

/// Whether the block at `_start` has a mark: none has, and seals tell in time.
///
/// # Safety
/// None; the other build has conditions.
#[inline(always)]
pub(crate) const unsafe fn is_marked(_start: *const u8) -> bool {
    false
}

/// Whether the block at `address`, which looks free, is on the list of its slab.
pub(crate) fn is_listed(slab: &Slab, address: usize) -> bool {
    slab.lists(address)
}

/// Where a slab's freed blocks wait until it has no others: a block that was just freed is not handed
/// out at once.
pub(crate) struct Freed(FreeList);

impl Freed {
    pub(crate) const fn new() -> Self {
        Self(FreeList::new())
    }

    /// The list that takes freed blocks of a slab that is allocated from by way of `_free`.
    #[inline(always)]
    pub(crate) fn or<'list>(&'list self, _free: &'list FreeList) -> &'list FreeList {
        &self.0
    }

    /// A block where `free` has no other, or has none and those that wait take their turn.
    #[cold]
    #[inline(never)]
    pub(crate) fn pop_rest(&self, free: &FreeList) -> Option<Block> {
        if free.is_empty() {
            // Nothing is written where there is nothing: heaps without slabs share an empty one.
            if self.0.is_empty() {
                return None;
            }
            free.take(&self.0);
        }
        free.pop_last()
    }

    /// The other list of the two.
    #[inline(always)]
    pub(crate) fn other(&self) -> Option<&FreeList> {
        Some(&self.0)
    }
}

/// In which order blocks are linked as they are carved: a random one.
pub(crate) struct Order {
    blocks: u32,
    places: [Cell<u8>; CARVED_AT_ONCE as usize],
}

impl Order {
    /// An order of up to `blocks`.
    pub(crate) fn of(blocks: u32) -> Self {
        let blocks = blocks.min(CARVED_AT_ONCE);
        let order = Self { blocks, places: [const { Cell::new(0) }; CARVED_AT_ONCE as usize] };
        let mut draws = secret::Draws::new();
        // Fisher and Yates, inside out.
        for (index, place) in order.places.iter().enumerate().take(blocks as usize) {
            place.set(index as u8);
            if let Some(other) = order.places.get(draws.up_to(index)) {
                place.swap(other);
            }
        }
        order
    }

    /// How many blocks.
    pub(crate) fn blocks(&self) -> u32 {
        self.blocks
    }

    /// The place of the `index`th.
    pub(crate) fn place(&self, index: usize) -> usize {
        self.places.get(index).map_or(index, |place| usize::from(place.get()))
    }
}
