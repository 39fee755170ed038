//! The token of a free block, and the list of free blocks that only their owner touches.

use core::cell::Cell;
use core::ptr::{self, NonNull};

use crate::block::link::{Key, Link};
use crate::block::tag::Tag;
pub(crate) use crate::block::tag::looks_free;

/// The first words of a free block: one in the `secure` build, two in the default one.
#[repr(C)]
struct Node {
    next: Link,
    tag: Tag,
}

/// Bytes at the beginning of a free block that the list needs.
pub(crate) const LINK_BYTES: usize = size_of::<Node>();

/// A block that is free: whoever holds this token, and nobody else, may write the block.
#[derive(Debug)]
pub(crate) struct Block {
    start: NonNull<Node>,
    key: Key,
}

impl Block {
    /// # Safety
    /// `start` begins a block of at least 16 writable, 8-aligned bytes that nobody else uses
    /// until the token has become a caller's pointer again.
    #[inline(always)]
    pub(crate) unsafe fn from_raw(start: NonNull<u8>) -> Self {
        // SAFETY: forwarded to the caller.
        unsafe { Self::with_key(start, Key::of(start.as_ptr())) }
    }

    /// As [`from_raw`](Self::from_raw), where the key is known: it need not be computed again.
    ///
    /// # Safety
    /// As for [`from_raw`](Self::from_raw); the key is that of `start`.
    #[inline(always)]
    pub(crate) const unsafe fn with_key(start: NonNull<u8>, key: Key) -> Self {
        Self { start: start.cast(), key }
    }

    /// The block as the caller's memory. Clears the tag: else the next free of the block would be
    /// taken for its second.
    #[inline(always)]
    pub(crate) fn hand_out(self) -> NonNull<u8> {
        // Volatile: where the caller's value has padding there, the compiler would count the store
        // as overwritten and drop it.
        // SAFETY: the token owns the block, whose second word is writable.
        unsafe { (&raw mut (*self.start.as_ptr()).tag).write_volatile(Tag::USED) };
        self.start.cast()
    }

    /// The block's memory as it is.
    #[inline(always)]
    pub(crate) const fn into_raw(self) -> NonNull<u8> {
        self.start.cast()
    }

    /// The key of the block's address.
    #[inline(always)]
    pub(crate) const fn key(&self) -> Key {
        self.key
    }

    /// Address of the block.
    #[inline]
    pub(crate) fn address(&self) -> usize {
        self.start.addr().get()
    }

    /// Makes `next` follow this block on a list.
    #[inline(always)]
    pub(crate) fn link(&self, next: *mut u8) {
        let node = Node { next: Link::new(self.key, next), tag: Tag::free(self.start.as_ptr().cast()) };
        // SAFETY: the token owns the block, whose first two words are writable.
        unsafe { self.start.as_ptr().write(node) }
    }
}

/// Free blocks in last-in, first-out order, linked through their first words; the last link is
/// null. Only the owner of their slab touches it, or who holds the lock that stands for the owner.
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
        self.head.set(block.start.as_ptr());
    }

    /// Puts `blocks` in front, one after the other.
    pub(crate) fn push_all(&self, blocks: impl Iterator<Item = Block>) {
        let mut head = self.head.get();
        for block in blocks {
            block.link(head.cast());
            head = block.start.as_ptr();
        }
        self.head.set(head);
    }

    /// Takes the block in front. In the `secure` build the last block stays, as does one whose link
    /// is broken: [`pop_last`](Self::pop_last) takes those.
    #[inline(always)]
    pub(crate) fn pop(&self) -> Option<Block> {
        let head = NonNull::new(self.head.get())?;
        // SAFETY: the head is a block that the list owns.
        let (block, link) = unsafe { (Block::from_raw(head.cast()), (*head.as_ptr()).next) };
        self.head.set(link.follow(block.key, head.as_ptr().cast())?.cast());
        Some(block)
    }

    /// Takes the block in front, and leaves the list empty where its link is broken.
    pub(crate) fn pop_last(&self) -> Option<Block> {
        let head = NonNull::new(self.head.get())?;
        // SAFETY: the head is a block that the list owns.
        self.head.set(unsafe { next_of(head.as_ptr().cast()) }.cast());
        // SAFETY: as above.
        Some(unsafe { Block::from_raw(head.cast()) })
    }

    /// Forgets every block.
    pub(crate) fn clear(&self) {
        self.head.set(ptr::null_mut());
    }

    /// Takes over every block of `other`; for an empty list.
    pub(crate) fn take(&self, other: &Self) {
        self.head.set(other.head.replace(ptr::null_mut()));
    }

    /// Whether there is no block.
    pub(crate) fn is_empty(&self) -> bool {
        self.head.get().is_null()
    }

    /// The block in front, for as long as nothing is pushed or popped.
    pub(crate) fn head(&self) -> *mut u8 {
        self.head.get().cast()
    }

    /// Puts a whole chain in front.
    ///
    /// # Safety
    /// `first` to `last` are linked free blocks that the caller gives up.
    pub(crate) unsafe fn push_chain(&self, first: *mut u8, last: *mut u8) {
        // SAFETY: the caller owns the chain, so its last link may be written.
        unsafe {
            (&raw mut (*last.cast::<Node>()).next).write(Link::new(Key::of(last), self.head.get().cast()))
        };
        self.head.set(first.cast());
    }

    /// Whether the block at `address` is among the first `length`. Walks the list.
    ///
    /// # Safety
    /// Every block on the list is free.
    pub(crate) unsafe fn contains(&self, address: usize, length: usize) -> bool {
        let mut node = self.head.get();
        for _ in 0..length {
            if node.addr() == address {
                return true;
            }
            if node.is_null() {
                return false;
            }
            // SAFETY: the block is on the list.
            node = unsafe { next_of(node.cast()).cast() };
        }
        false
    }
}

/// The block that follows the free block at `start` on its list.
///
/// # Safety
/// `start` is a free block that the caller owns, and was linked.
#[inline(always)]
pub(crate) unsafe fn next_of(start: *mut u8) -> *mut u8 {
    // SAFETY: forwarded to the caller.
    let link = unsafe { (*start.cast::<Node>()).next };
    let key = Key::of(start);
    link.follow(key, start).unwrap_or_else(|| link.end(key, start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::link::ON;

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
            assert!(unsafe { looks_free(start.as_ptr()) != ON && list.contains(start.addr().get(), 3) });
        }
        for start in starts.iter().rev() {
            let block = list.pop().or_else(|| list.pop_last()).expect("one of three");
            assert_eq!(block.hand_out(), *start);
            // SAFETY: the block is readable.
            assert!(!unsafe { looks_free(start.as_ptr()) });
        }
        assert!(list.is_empty() && list.pop().is_none());
    }
}
