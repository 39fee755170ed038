//! No hardening: every step is nothing, and costs nothing.

use core::alloc::Layout;
use core::ptr::NonNull;

use crate::config::FREE_TAG;
use crate::free_list::{Block, FreeList};
use crate::size_class::Class;
pub(crate) use crate::size_class::{inline_class, route};
use crate::slab::{Carved, Slab};
use crate::sync::atomic::{AtomicU64, Ordering};

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

/// What a free block carries in its second word.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag(u64);

impl Tag {
    pub(crate) const FREE: Self = Self(FREE_TAG);
    pub(crate) const USED: Self = Self(0);
}

/// Whether the block at `start`, which others may be writing, looks free.
///
/// # Safety
/// A block that was carved begins there.
pub(crate) unsafe fn looks_free_from_afar(_slab: &Slab, start: *const u8) -> bool {
    // It follows the link.
    let tag: *const u64 = start.wrapping_add(size_of::<Link>()).cast();
    // SAFETY: the block has a second word, which is aligned.
    Tag(unsafe { AtomicU64::from_ptr(tag.cast_mut()) }.load(Ordering::Relaxed)) == Tag::FREE
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
pub(crate) fn issue(block: Block, _class: Class, _layout: Layout) -> NonNull<u8> {
    block.hand_out()
}

/// A block that was never used, as the caller's memory.
#[inline(always)]
pub(crate) fn issue_fresh(block: Block, _class: Class, _layout: Layout) -> NonNull<u8> {
    block.into_raw()
}

/// Notes that the caller of the block at `_start` now asks for `_layout`, of the same class.
#[inline(always)]
pub(crate) fn dress(_start: NonNull<u8>, _class: Class, _layout: Layout) {}

/// The key of a block of `_slab` at `_start` that is about to be freed, if all is well with it.
#[inline(always)]
pub(crate) fn accepts(
    _slab: &Slab,
    _start: *const u8,
    _place: usize,
    _layout: Option<Layout>,
) -> Option<Key> {
    Some(Key)
}

/// What is wrong with the block of `_slab` at `_start`, if anything is.
pub(crate) fn fault_of(_slab: &Slab, _start: *const u8, _layout: Option<Layout>) -> Option<&'static str> {
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
pub(crate) unsafe fn renew(_start: NonNull<u8>, _bytes: usize) {}

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
pub(crate) fn retire(_start: NonNull<u8>, _key: Key, _block_bytes: usize) {}
