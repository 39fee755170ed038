//! Blocks that are free, and the list only their owner touches.

use core::cell::Cell;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};

use crate::config::FREE_TAG;
use crate::sync::atomic::{AtomicU64, Ordering};

/// What a free block holds in its first two words.
#[repr(C)]
struct Node {
    next: *mut Node,
    tag: u64,
}

/// A block that is free: whoever holds this token, and nobody else, may write the block.
#[repr(transparent)]
#[derive(Debug)]
pub(crate) struct Block(NonNull<Node>, PhantomData<*mut ()>);

impl Block {
    /// # Safety
    /// `start` begins a block of at least 16 writable, 8-aligned bytes that nobody else uses
    /// until the token has become a caller's pointer again.
    #[inline(always)]
    pub(crate) const unsafe fn from_raw(start: NonNull<u8>) -> Self {
        Self(start.cast(), PhantomData)
    }

    /// The block as the caller's memory. Clears the tag, which is what makes the next free of
    /// it a first one.
    #[inline(always)]
    pub(crate) fn hand_out(self) -> NonNull<u8> {
        // SAFETY: the token owns the block, whose second word is writable.
        unsafe { (&raw mut (*self.0.as_ptr()).tag).write(0) };
        self.0.cast()
    }

    /// The block's memory as it is.
    #[inline(always)]
    pub(crate) const fn into_raw(self) -> NonNull<u8> {
        self.0.cast()
    }

    /// Address of the block.
    #[inline]
    pub(crate) fn address(&self) -> usize {
        self.0.addr().get()
    }

    /// Makes `next` follow this block on a list.
    #[inline(always)]
    pub(crate) fn link(&self, next: *mut u8) {
        // SAFETY: the token owns the block, whose first two words are writable.
        unsafe { self.0.as_ptr().write(Node { next: next.cast(), tag: FREE_TAG }) }
    }
}

/// Whether the block at `start` looks freed: its second word holds the tag.
///
/// # Safety
/// `start` begins a readable block of at least 16 bytes.
#[inline(always)]
pub(crate) unsafe fn looks_free(start: *const u8) -> bool {
    // SAFETY: the block has a second word; user data may be uninitialised to the compiler
    // but is memory that exists.
    unsafe { (&raw const (*start.cast::<Node>()).tag).read() == FREE_TAG }
}

/// As [`looks_free`], for a block that another thread may be writing.
///
/// # Safety
/// As for [`looks_free`].
pub(crate) unsafe fn looks_free_from_afar(start: *const u8) -> bool {
    // SAFETY: the block has a second word, which is aligned.
    unsafe { AtomicU64::from_ptr((&raw const (*start.cast::<Node>()).tag).cast_mut()) }
        .load(Ordering::Relaxed)
        == FREE_TAG
}

/// Blocks in last-in, first-out order, linked through their first words; the last link is null.
pub(crate) struct FreeList {
    head: Cell<*mut Node>,
}

impl FreeList {
    pub(crate) const fn new() -> Self {
        Self { head: Cell::new(ptr::null_mut()) }
    }

    /// Puts a block in front.
    #[inline(always)]
    pub(crate) fn push(&self, block: Block) {
        block.link(self.head.get().cast());
        self.head.set(block.0.as_ptr());
    }

    /// Takes the block in front.
    #[inline(always)]
    pub(crate) fn pop(&self) -> Option<Block> {
        let head = NonNull::new(self.head.get())?;
        // SAFETY: what the head points to is a block that the list owns.
        self.head.set(unsafe { (*head.as_ptr()).next });
        Some(Block(head, PhantomData))
    }

    /// Forgets every block.
    pub(crate) fn clear(&self) {
        self.head.set(ptr::null_mut());
    }

    /// Whether there is no block.
    pub(crate) fn is_empty(&self) -> bool {
        self.head.get().is_null()
    }

    /// The block in front, for as long as nothing is pushed or popped.
    #[cfg(debug_assertions)]
    pub(crate) fn head(&self) -> *mut u8 {
        self.head.get().cast()
    }

    /// Puts a whole chain in front.
    ///
    /// # Safety
    /// `first` to `last` are linked free blocks that the caller gives up.
    pub(crate) unsafe fn push_chain(&self, first: *mut u8, last: *mut u8) {
        // SAFETY: the caller owns the chain, so its last link may be written.
        unsafe { (&raw mut (*last.cast::<Node>()).next).write(self.head.get()) };
        self.head.set(first.cast());
    }

    /// Whether the block at `address` is among the first `length`.
    ///
    /// # Safety
    /// The list has at least `length` blocks.
    pub(crate) unsafe fn contains(&self, address: usize, length: usize) -> bool {
        let mut node = self.head.get();
        for _ in 0..length {
            if node.addr() == address {
                return true;
            }
            // SAFETY: fewer than `length` blocks were visited, so this one is on the list.
            node = unsafe { (*node).next };
        }
        false
    }
}

/// The block that follows the free block at `start` on its list.
///
/// # Safety
/// `start` is a free block that the caller owns, and was linked.
pub(crate) unsafe fn next_of(start: *mut u8) -> *mut u8 {
    // SAFETY: forwarded to the caller.
    unsafe { (*start.cast::<Node>()).next.cast() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_in_first_out_and_tags() {
        let mut memory = [[0_u64; 2]; 3];
        let list = FreeList::new();
        let starts: Vec<NonNull<u8>> = memory.iter_mut().map(|block| NonNull::from(block).cast()).collect();
        for start in &starts {
            // SAFETY: each is 16 writable bytes of this test's own.
            list.push(unsafe { Block::from_raw(*start) });
        }
        for start in &starts {
            // SAFETY: the block is readable, and the list holds three.
            assert!(unsafe { looks_free(start.as_ptr()) && list.contains(start.addr().get(), 3) });
        }
        for start in starts.iter().rev() {
            let block = list.pop().expect("one of three");
            assert_eq!(block.hand_out(), *start);
            // SAFETY: the block is readable.
            assert!(!unsafe { looks_free(start.as_ptr()) });
        }
        assert!(list.is_empty() && list.pop().is_none());
    }
}
