//! Blocks of either side as tokens: who holds one may use and free it, and can do nothing else with
//! it.

use std::ptr::NonNull;

use crate::side::{Shape, Side};

/// One block, freed on drop.
///
/// Invariant: `start` came from `side` for `shape`, and nobody else holds it.
#[derive(Debug)]
pub(crate) struct Block {
    start: NonNull<u8>,
    shape: Shape,
    side: &'static Side,
}

// SAFETY: a block is plain memory with one holder, and an allocator serves any thread.
unsafe impl Send for Block {}

impl Block {
    #[inline]
    pub(crate) fn new(side: &'static Side, shape: Shape) -> Self {
        Self { start: side.alloc(shape), shape, side }
    }

    #[inline]
    pub(crate) fn new_zeroed(side: &'static Side, shape: Shape) -> Self {
        Self { start: side.alloc_zeroed(shape), shape, side }
    }

    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    /// Grows to a larger shape and writes all that was added, as a `Vec` does that is pushed to.
    pub(crate) fn grow(&mut self, shape: Shape) {
        let old_bytes = self.shape.bytes();
        assert!(shape.bytes() > old_bytes, "a block only grows");
        // SAFETY: the block is of this side and shape (invariant); its old start is overwritten.
        self.start = unsafe { self.side.realloc(self.start, self.shape, shape) };
        self.shape = shape;
        // SAFETY: both ends of the range are in the block.
        unsafe {
            self.start.add(old_bytes).write_bytes(2, shape.bytes() - old_bytes);
        }
    }

    /// Writes one byte in every 4 KiB: no OS page is smaller, so all of them are touched.
    pub(crate) fn touch(&mut self) {
        for offset in (0..self.shape.bytes()).step_by(4 << 10) {
            // SAFETY: the offset is less than the block's size.
            unsafe { self.start.add(offset).write(3) };
        }
    }
}

impl Drop for Block {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the block is of this side and shape, and its only holder ends here (invariant).
        unsafe { self.side.dealloc(self.start, self.shape) }
    }
}

/// Up to `room` blocks of one shape, kept as bare pointers: the measuring shall not fill the cache
/// that it measures.
///
/// Invariant: every pointer in `starts` came from `side` for `shape`, is in there once, and nobody
/// else holds it.
#[derive(Debug)]
pub(crate) struct Batch {
    starts: Vec<NonNull<u8>>,
    room: usize,
    shape: Shape,
    side: &'static Side,
}

// SAFETY: as for `Block`.
unsafe impl Send for Batch {}

impl Batch {
    /// A batch without blocks.
    pub(crate) fn new(side: &'static Side, shape: Shape, room: usize) -> Self {
        Self { starts: Vec::with_capacity(room), room, shape, side }
    }

    /// Allocates until the room is full.
    pub(crate) fn fill(&mut self) {
        while self.starts.len() < self.room {
            self.starts.push(self.side.alloc(self.shape));
        }
    }

    /// Frees all blocks, the youngest first.
    pub(crate) fn free_lifo(&mut self) {
        while let Some(start) = self.starts.pop() {
            // SAFETY: of this side and shape (invariant), and just taken out.
            unsafe { self.side.dealloc(start, self.shape) };
        }
    }

    /// Frees all blocks, the oldest first.
    pub(crate) fn free_fifo(&mut self) {
        for start in self.starts.drain(..) {
            // SAFETY: of this side and shape (invariant), and just taken out.
            unsafe { self.side.dealloc(start, self.shape) };
        }
    }

    /// Frees one block for every pick: the one at that place, which the last one then takes.
    pub(crate) fn free_picked(&mut self, picks: &[usize]) {
        for &pick in picks {
            let start = self.starts.swap_remove(pick);
            // SAFETY: of this side and shape (invariant), and just taken out.
            unsafe { self.side.dealloc(start, self.shape) };
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.free_lifo();
    }
}
