//! Hardening, for the `secure` feature.
//!
//! Each block ends with a *seal* of eight bytes: a secret of the block's address, with what was
//! asked for and whether it is free in the middle bits. The bytes between what was asked for and the
//! seal are filled, as far as one word. So a write beyond the end meets the fill or the seal, and is
//! seen when the block is freed or resized; a write before the beginning meets the seal of the block
//! before, and is seen when either is freed; and a layout that is not the block's does not fit its seal.
//! A free block keeps its seal, begins with an encoded link, and is zero up to
//! [`ZEROED_BYTES`]: what is written to its first bytes is seen when it is handed out.

use core::alloc::Layout;
use core::cell::Cell;
use core::ptr::{self, NonNull};

pub(crate) use super::secret::prepare;
use super::{nothing, secret};
use crate::address::align_up;
use crate::config::{CHUNK_BYTES, INLINE_LIMIT, MAX_BLOCK_ALIGN, MAX_BLOCK_BYTES};
use crate::fatal;
use crate::free_list::{Block, FreeList};
use crate::size_class::{Class, Route};
use crate::slab::{Carved, Slab};
use crate::sync::atomic::{AtomicU64, Ordering};

/// Whether anything is done here.
pub(crate) const ON: bool = true;

/// Bytes of a block that no caller gets.
pub(crate) const SEAL_BYTES: usize = size_of::<u64>();

/// Most blocks carved at a time: so many have a random order.
const CARVED_AT_ONCE: u32 = 256;

/// Bytes of a block that are zeroed when it is freed: a page of them would cost more than the rest.
const ZEROED_BYTES: usize = 1024;

/// Those of them that are looked at when the block is handed out: a cache line, in which most writes
/// through stale pointers begin.
const FIRST_BYTES: usize = 64;

/// What the link needs of a free block.
const HEAD_BYTES: usize = size_of::<Link>();

/// In which free blocks are looked at.
const WORD_BYTES: usize = size_of::<u64>();

// ---- where a layout lives ----

/// The class of a layout whose size and alignment are both below [`INLINE_LIMIT`].
#[inline(always)]
pub(crate) const fn inline_class(layout: Layout) -> Option<Class> {
    if (layout.size() | layout.align()) >= INLINE_LIMIT {
        return None;
    }
    Some(Class::of_inline(align_up(layout.size().wrapping_add(SEAL_BYTES), layout.align())))
}

/// Where `layout` lives: as `size_class::route`, with the seal.
#[inline]
pub(crate) const fn route(layout: Layout) -> Route {
    if layout.align() > MAX_BLOCK_ALIGN || layout.size() > MAX_BLOCK_BYTES.wrapping_sub(SEAL_BYTES) {
        return Route::Large;
    }
    Route::Small(Class::of(align_up(layout.size().wrapping_add(SEAL_BYTES), layout.align())))
}

// ---- seals ----

/// What a seal says. Bytes of the block beyond those asked for, without the seal; the alignment's
/// logarithm above; whether the block is free above that.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Says(u64);

impl Says {
    const ALIGN_SHIFT: u32 = 20;
    const FREE: u64 = 1 << 25;
    const LIMIT: u64 = 1 << 26;
    /// The lowest bits of a seal, which a write beyond the end meets first, are the secret's alone.
    const SHIFT: u32 = 24;

    #[inline(always)]
    fn layout(layout: Layout, block_bytes: usize) -> Self {
        let rest = block_bytes.wrapping_sub(SEAL_BYTES).wrapping_sub(layout.size());
        Self(rest as u64 | (u64::from(layout.align().trailing_zeros()) << Self::ALIGN_SHIFT))
    }

    #[inline(always)]
    const fn is_free(self) -> bool {
        self.0 & Self::FREE != 0
    }

    #[inline(always)]
    const fn rest(self) -> usize {
        (self.0 & ((1 << Self::ALIGN_SHIFT) - 1)) as usize
    }

    /// The seal of the block at `start` that says so. Its first byte is never zero: that is what ends a
    /// string too long by one.
    #[inline(always)]
    fn seal(self, start: *const u8) -> u64 {
        (secret::of(start.addr()) | 1) ^ (self.0 << Self::SHIFT)
    }

    /// What `seal`, of the block at `start`, says; none where it is broken.
    #[inline(always)]
    fn read(seal: u64, start: *const u8) -> Option<Self> {
        let says = (seal ^ (secret::of(start.addr()) | 1)).rotate_right(Self::SHIFT);
        if says < Self::LIMIT { Some(Self(says)) } else { None }
    }
}

/// The seal of the block at `start`. Others may look at it at any time.
///
/// # Safety
/// So many bytes from `start` are mapped, and aligned as blocks are.
#[inline(always)]
unsafe fn seal_at<'block>(start: *const u8, block_bytes: usize) -> &'block AtomicU64 {
    let place = start.wrapping_add(block_bytes).wrapping_sub(SEAL_BYTES);
    // SAFETY: forwarded to the caller; block sizes are multiples of eight.
    unsafe { AtomicU64::from_ptr(place.cast_mut().cast()) }
}

/// What lies between the bytes asked for and the seal.
#[inline(always)]
fn fill() -> u64 {
    secret::mask() | 0x0101_0101_0101_0101
}

/// The word in which the filled bytes of a block begin, as its place in the block, and how many bits of it
/// are the caller's. It ends before the seal, which others may be looking at.
#[inline(always)]
fn filled(size: usize, block_bytes: usize) -> (usize, u32) {
    let place = size.min(block_bytes.wrapping_sub(SEAL_BYTES + WORD_BYTES));
    (place, (size.wrapping_sub(place) as u32).wrapping_mul(u8::BITS))
}

/// Whether the bytes from `size` to the seal, as far as one word, are as they were filled.
///
/// # Safety
/// As for [`seal_at`]; `size` and seal fit the block.
#[inline(always)]
unsafe fn is_filled(start: *const u8, size: usize, block_bytes: usize) -> bool {
    let (place, used) = filled(size, block_bytes);
    // SAFETY: the word is in the block.
    let found = unsafe { start.wrapping_add(place).cast::<u64>().read_unaligned() } ^ fill();
    // In two steps: no shift by all 64 bits.
    found >> (used / 2) >> (used / 2) == 0
}

/// Whether the seal of the block before the one at `start` is whole.
///
/// # Safety
/// A carved block of the slab begins at `start`, `place` bytes from the first.
#[inline(always)]
unsafe fn is_preceded(start: *const u8, block_bytes: usize, place: usize) -> bool {
    if place == 0 {
        return true;
    }
    let before = start.wrapping_sub(block_bytes);
    // SAFETY: not the first block, so another one of the slab, carved earlier, lies before it.
    let seal = unsafe { seal_at(before, block_bytes) }.load(Ordering::Relaxed);
    Says::read(seal, before).is_some()
}

/// Notes that the caller of the block at `start` asks for `layout`.
#[inline(always)]
pub(crate) fn dress(start: NonNull<u8>, class: Class, layout: Layout) {
    let block_bytes = class.shape().block as usize;
    let start = start.as_ptr();
    let (place, used) = filled(layout.size(), block_bytes);
    let word = start.wrapping_add(place).cast::<u64>();
    // SAFETY: the word is in the block, which is at least as long as layout and seal.
    let found = unsafe { word.read_unaligned() } ^ fill();
    let callers = found & !(u64::MAX << (used / 2) << (used / 2));
    // SAFETY: as above. The caller's bytes stay.
    unsafe { word.write_unaligned(callers ^ fill()) };
    // SAFETY: as above.
    let seal = unsafe { seal_at(start, block_bytes) };
    seal.store(Says::layout(layout, block_bytes).seal(start), Ordering::Relaxed);
}

/// Bytes of a block that are zero while it is free.
#[inline(always)]
fn zeroed(block_bytes: usize) -> usize {
    block_bytes.min(ZEROED_BYTES.wrapping_add(SEAL_BYTES)).wrapping_sub(SEAL_BYTES)
}

/// The places of the words in the first [`FIRST_BYTES`] of a block of which `zeroed` are zero, but for its
/// head. Always as many, where there are fewer the last one again: no jump to be foretold.
#[inline(always)]
fn first_words(zeroed: usize) -> impl Iterator<Item = usize> {
    let last = zeroed.wrapping_sub(WORD_BYTES);
    (HEAD_BYTES..FIRST_BYTES).step_by(WORD_BYTES).map(move |place| place.min(last))
}

/// The block as the caller's memory: nobody has written to it, and its first bytes are zero.
#[inline(always)]
pub(crate) fn issue(block: Block, class: Class, layout: Layout) -> NonNull<u8> {
    let start = clear_head(block);
    let mut found = 0;
    for place in first_words(zeroed(class.shape().block as usize)) {
        // SAFETY: the block is that long, and this function's own.
        found |= unsafe { start.byte_add(place).cast::<u64>().read() };
    }
    if found != 0 {
        written_while_free(start.addr().get());
    }
    dress(start, class, layout);
    start
}

/// A block that was never used.
pub(crate) fn issue_fresh(block: Block, class: Class, layout: Layout) -> NonNull<u8> {
    let start = clear_head(block);
    dress(start, class, layout);
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
pub(crate) fn written_while_free(address: usize) {
    fatal::caught("write to a free block", address);
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
        unsafe { seal_at(start, block_bytes) }.store(Says(Says::FREE).seal(start), Ordering::Relaxed);
    }
}

// ---- frees ----

/// Whether all is well with a block of `layout` at `start` that is about to be freed into `slab`.
#[inline(always)]
pub(crate) fn accepts(slab: &Slab, start: *const u8, layout: Layout) -> bool {
    let block_bytes = slab.block_bytes();
    slab.has_block_in_first_unit(start.addr())
        // SAFETY: a block of that length begins here; a layout too long for it fits no seal.
        && unsafe {
            let says = Says::layout(layout, block_bytes);
            seal_at(start, block_bytes).load(Ordering::Relaxed) == says.seal(start)
                && is_filled(start, layout.size(), block_bytes)
                && is_preceded(start, block_bytes, slab.place_in_first_unit(start.addr()))
        }
}

/// As [`accepts`], where a block is known to begin at `start` in the slab's first unit, but not its layout.
#[inline(always)]
pub(crate) fn accepts_untyped(slab: &Slab, start: *const u8) -> bool {
    let block_bytes = slab.block_bytes();
    // SAFETY: a block begins here.
    unsafe {
        is_whole(start, block_bytes)
            && is_preceded(start, block_bytes, slab.place_in_first_unit(start.addr()))
    }
}

/// # Safety
/// A carved block of that length begins at `start`.
#[inline(always)]
unsafe fn is_whole(start: *const u8, block_bytes: usize) -> bool {
    // SAFETY: forwarded to the caller.
    let seal = unsafe { seal_at(start, block_bytes) }.load(Ordering::Relaxed);
    let Some(says) = Says::read(seal, start) else { return false };
    let room = block_bytes.wrapping_sub(SEAL_BYTES);
    !says.is_free()
        && says.rest() <= room
        // SAFETY: the bytes beyond those asked for are in the block.
        && unsafe { is_filled(start, room.wrapping_sub(says.rest()), block_bytes) }
}

/// What is wrong with the block of `slab` at `start`, if anything is. `layout`: what it is said to be.
#[cold]
pub(crate) fn fault_of(slab: &Slab, start: *const u8, layout: Option<Layout>) -> Option<&'static str> {
    let block_bytes = slab.block_bytes();
    // SAFETY: a block of the slab begins here.
    let seal = unsafe { seal_at(start, block_bytes) }.load(Ordering::Relaxed);
    let Some(says) = Says::read(seal, start) else { return Some("write beyond the end of a block") };
    if says.is_free() {
        return Some("double free");
    }
    // SAFETY: a block of the slab begins here.
    if !unsafe { is_whole(start, block_bytes) } {
        return Some("write beyond the end of a block");
    }
    // SAFETY: as above.
    if !unsafe { is_preceded(start, block_bytes, start.addr().wrapping_sub(slab.base())) } {
        return Some("write before the beginning of a block");
    }
    let layout = layout?;
    let fits = matches!(route(layout), Route::Small(class) if class == slab.class());
    if fits && says == Says::layout(layout, block_bytes) {
        None
    } else {
        Some("layout not the one allocated with,")
    }
}

/// Bytes that the caller of a block of `block_bytes` at `start` asked for.
pub(crate) fn usable(start: *const u8, block_bytes: usize) -> usize {
    let room = block_bytes.wrapping_sub(SEAL_BYTES);
    // SAFETY: a block of that length begins here.
    let seal = unsafe { seal_at(start, block_bytes) }.load(Ordering::Relaxed);
    // One whose seal is broken has nothing to use.
    Says::read(seal, start).map_or(0, |says| room.saturating_sub(says.rest()))
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

/// Prepares a block for its list: zeroes, and says that it is free.
#[inline(always)]
pub(crate) fn retire(start: NonNull<u8>, slab: &Slab) {
    let block_bytes = slab.block_bytes();
    let zeroed = zeroed(block_bytes);
    // Not one byte further: others may be looking at the seal.
    for place in first_words(zeroed) {
        // SAFETY: the caller gave the block up, and it is that long.
        unsafe { start.byte_add(place).cast::<u64>().write(0) };
    }
    if zeroed > FIRST_BYTES {
        // SAFETY: as above.
        unsafe { start.byte_add(FIRST_BYTES).write_bytes(0, zeroed.wrapping_sub(FIRST_BYTES)) };
    }
    // SAFETY: as above.
    let seal = unsafe { seal_at(start.as_ptr(), block_bytes) };
    seal.store(Says(Says::FREE).seal(start.as_ptr()), Ordering::Relaxed);
}

/// Prepares a mapping that was used before for another use: it begins with zeroes, as blocks do.
///
/// # Safety
/// So many bytes from `start` are the caller's, and nothing refers to them.
pub(crate) unsafe fn renew(start: NonNull<u8>, bytes: usize) {
    // SAFETY: forwarded to the caller.
    unsafe { start.write_bytes(0, bytes.min(ZEROED_BYTES)) };
}

// ---- lists ----

/// A link of a list of free blocks, encoded with the place where it lies.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct Link(u64);

impl Link {
    /// The link from the block at `from` to the one at `to`.
    #[inline(always)]
    pub(crate) fn new(from: *const u8, to: *mut u8) -> Self {
        Self(to.addr() as u64 ^ secret::of(from.addr()))
    }

    /// Where the link in the block at `from` leads: into the same chunk, or nowhere.
    #[inline(always)]
    pub(crate) fn follow(self, from: *const u8) -> *mut u8 {
        let to = (self.0 ^ secret::of(from.addr())) as usize;
        if to != 0 && ((to ^ from.addr()) >= CHUNK_BYTES || !to.is_multiple_of(size_of::<u64>())) {
            return broken_link(from);
        }
        ptr::with_exposed_provenance_mut(to)
    }
}

/// What a broken link leads to, where the process goes on: what was behind it is never used again.
#[cold]
#[inline(never)]
fn broken_link(from: *const u8) -> *mut u8 {
    fatal::caught("write to a free block", from.addr());
    ptr::null_mut()
}

/// What tells a free block from a used one, beside its link: nothing, for its seal does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tag;

impl Tag {
    pub(crate) const FREE: Self = Self;
    pub(crate) const USED: Self = Self;

    /// Nothing to read.
    pub(crate) unsafe fn from_afar(_place: *const Self) -> Self {
        Self
    }
}

impl PartialEq for Tag {
    /// Never: nothing is known from it.
    #[inline(always)]
    fn eq(&self, _: &Self) -> bool {
        false
    }
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
