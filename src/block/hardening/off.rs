//! No hardening: every step is nothing, and costs nothing.

use core::alloc::Layout;
#[cfg(target_arch = "x86_64")]
use core::arch::asm;
use core::hint;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use crate::base::config::UNIT_BYTES;
use crate::block::free_list::{Block, FreeList};
use crate::block::size_class::Class;
pub(crate) use crate::block::size_class::{inline_class, route};
use crate::memory::slab::{Carved, Slab};

/// Whether anything is done here.
pub(crate) const ON: bool = false;

/// Bytes of a block that no caller gets.
pub(crate) const SEAL_BYTES: usize = 0;

/// What goes with a block's address: nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key;

impl Key {
    #[inline(always)]
    pub(crate) const fn of(_start: *const u8) -> Self {
        Self
    }
}

/// A link of a list of free blocks.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct Link(*mut u8);

impl Link {
    /// The link to the block at `to`.
    #[inline(always)]
    pub(crate) fn new(_key: Key, to: *mut u8) -> Self {
        Self(to)
    }

    /// Where the link in the block at `_from` leads.
    #[inline(always)]
    pub(crate) fn follow(self, _key: Key, _from: *const u8) -> Option<*mut u8> {
        Some(self.0)
    }

    /// Where one leads that cannot be followed: there is none.
    pub(crate) const fn end(self, _key: Key, _from: *const u8) -> *mut u8 {
        self.0
    }
}

/// Where a slab's freed blocks wait: nowhere but on the list that is allocated from. As long as the other
/// build's, so that a slab's record looks the same.
pub(crate) struct Freed {
    _nothing: usize,
}

impl Freed {
    pub(crate) const fn new() -> Self {
        Self { _nothing: 0 }
    }

    /// The list that takes freed blocks of a slab that is allocated from by way of `free`.
    #[inline(always)]
    pub(crate) fn or<'list>(&'list self, free: &'list FreeList) -> &'list FreeList {
        free
    }

    /// A block where `_free` has no other, or has none and those that wait take their turn.
    #[inline(always)]
    pub(crate) fn pop_rest(&self, _free: &FreeList) -> Option<Block> {
        None
    }

    /// The other list of the two, where there are two.
    #[inline(always)]
    pub(crate) fn other(&self) -> Option<&FreeList> {
        None
    }
}

/// A block's second word while it is free: the *mark* in its lower half, a note in its upper one. The mark
/// is the number of the unit in which the block begins: no constant that data could hold by chance or
/// on purpose, and in a register when a block is freed. The note is what [`is_listed`] writes down, or
/// what else the unit's number has.
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tag(u64);

impl Tag {
    pub(crate) const USED: Self = Self(0);

    /// That of a free block at `start`, without a note.
    #[inline(always)]
    pub(crate) fn free(start: *const u8) -> Self {
        Self((start.addr() / UNIT_BYTES) as u64)
    }

    /// That of a free block at `start`, with a note.
    pub(crate) fn with_note(start: *const u8, note: u32) -> Self {
        Self(u64::from(note) << u32::BITS | u64::from(Self::free(start).0 as u32))
    }

    /// What is noted beside the mark.
    pub(crate) const fn note(self) -> u32 {
        (self.0 >> u32::BITS) as u32
    }
}

/// Where in a free block its tag is: it follows the link.
const TAG_OFFSET: usize = size_of::<Link>();

/// The tag of the block at `start`, or what its user has in its place.
///
/// # Safety
/// A block begins at `start`.
pub(crate) unsafe fn tag_of(start: *const u8) -> Tag {
    let tag: *const MaybeUninit<Tag> = start.wrapping_byte_add(TAG_OFFSET).cast();
    // SAFETY: every block has two words.
    let tag = hint::black_box(unsafe { tag.read_volatile() });
    // SAFETY: whatever is there are bits, and the compiler does not know where they come from.
    unsafe { tag.assume_init() }
}

/// Changes the tag of the block at `start`.
///
/// # Safety
/// A free block begins at `start`, of a list that is the caller's.
pub(crate) unsafe fn set_tag(start: *mut u8, tag: Tag) {
    // SAFETY: every block has two words.
    unsafe { start.wrapping_byte_add(TAG_OFFSET).cast::<Tag>().write(tag) }
}

/// Whether the second word of the block at `start` holds the mark. The word may be the caller's and not
/// initialised, on which nothing that the compiler sees may depend: so the processor reads it.
///
/// # Safety
/// A block begins at `start`.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) unsafe fn is_marked(start: *const u8) -> bool {
    // SAFETY: every block has two words, and these instructions only read.
    unsafe {
        asm!(
            "cmp dword ptr [{start} + {offset}], {mark:e}",
            "je {marked}",
            start = in(reg) start,
            offset = const TAG_OFFSET,
            mark = in(reg) start.addr() / UNIT_BYTES,
            marked = label { return true },
            options(readonly, nostack),
        );
    }
    false
}

/// As there.
///
/// # Safety
/// As there.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub(crate) unsafe fn is_marked(start: *const u8) -> bool {
    // SAFETY: forwarded to the caller.
    unsafe { tag_of(start) }.0 as u32 == Tag::free(start).0 as u32
}

/// Whether the block at `address`, which looks free, is on the list of its slab.
pub(crate) fn is_listed(slab: &Slab, address: usize) -> bool {
    slab.has_listed(address)
}

/// Prepares what blocks need, before there are any.
pub(crate) fn prepare() {}

/// Prepares the blocks just carved, from the place `_from` on.
pub(crate) fn prepare_carved(_slab: &Slab, _from: usize, _carved: &Carved) {}

/// In which order blocks are linked as they are carved: that of their addresses.
pub(crate) struct Order {
    blocks: u32,
}

impl Order {
    /// An order of up to `blocks`, which is all of them.
    #[inline(always)]
    pub(crate) fn of(blocks: u32) -> Self {
        Self { blocks }
    }

    /// How many blocks.
    #[inline(always)]
    pub(crate) fn blocks(&self) -> u32 {
        self.blocks
    }

    /// The place of the `index`th.
    #[inline(always)]
    pub(crate) fn place(&self, index: usize) -> usize {
        index
    }
}

/// The block as the caller's memory.
#[inline(always)]
pub(crate) fn hand_out(block: Block, _class: Class, _layout: Layout) -> NonNull<u8> {
    block.hand_out()
}

/// A block that was never used, as the caller's memory.
#[inline(always)]
pub(crate) fn hand_out_fresh(block: Block, _class: Class, _layout: Layout) -> NonNull<u8> {
    block.into_raw()
}

/// Notes that the caller of the block at `_start` now asks for `_layout`, of the same class.
#[inline(always)]
pub(crate) fn seal_for(_start: NonNull<u8>, _class: Class, _layout: Layout) {}

/// The key of a block of `_slab` at `_start` that is about to be freed, if all is well with it.
#[inline(always)]
pub(crate) fn check_fast(
    _slab: &Slab,
    _start: *const u8,
    _place: usize,
    _layout: Option<Layout>,
) -> Option<Key> {
    Some(Key)
}

/// As [`accepts`], or what is wrong with the block.
pub(crate) fn accepts_or_says(
    _slab: &Slab,
    _start: *const u8,
    _layout: Option<Layout>,
) -> Result<Key, &'static str> {
    Ok(Key)
}

/// What is wrong with the block of `_slab` at `_start`, if anything is.
pub(crate) fn diagnose(_slab: &Slab, _start: *const u8, _layout: Option<Layout>) -> Option<&'static str> {
    None
}

/// Bytes that the caller of a block of `block_bytes` at `_start` may use.
pub(crate) fn usable(_start: *const u8, block_bytes: usize) -> usize {
    block_bytes
}

/// Gives back a block of no bytes: whether it was in use; none where `_start` is no such address.
pub(crate) fn free_nothing(_start: NonNull<u8>) -> Option<bool> {
    None
}

/// Prepares a mapping that was used before for another use.
///
/// # Safety
/// None; the other build has conditions.
pub(crate) unsafe fn clear_for_reuse(_start: NonNull<u8>, _bytes: usize) {}

/// A block of no bytes, where those are apart.
pub(crate) fn allocate_nothing() -> Option<NonNull<u8>> {
    None
}

/// Whether a block of no bytes, in use, is at `_start`.
pub(crate) fn is_nothing(_start: NonNull<u8>) -> bool {
    false
}

/// Bytes of the slab's blocks, where that matters: nothing is read.
#[inline(always)]
pub(crate) const fn block_bytes(_slab: &Slab) -> usize {
    0
}

/// Whether blocks of so many bytes are long enough for their retiring to be a call of its own.
#[inline(always)]
pub(crate) const fn is_long(_block_bytes: usize) -> bool {
    false
}

/// Prepares a block for its list.
#[inline(always)]
pub(crate) fn clear_for_list(_start: NonNull<u8>, _block_bytes: usize) {}
