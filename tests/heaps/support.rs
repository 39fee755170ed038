//! What the tests of first-class heaps share.
#![allow(dead_code, reason = "each test file is a program of its own and uses a part of this")]

use std::alloc::Layout;
use std::ptr::NonNull;
use std::slice;

use freestone::heaps::{Heap, Kind};
use rand::{RngExt, rngs::StdRng};

pub(crate) const KIB: usize = 1 << 10;
pub(crate) const MIB: usize = 1 << 20;

pub(crate) fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("a valid layout")
}

/// A block of a heap, filled with what its tag decides.
pub(crate) struct Filled {
    start: NonNull<u8>,
    layout: Layout,
    tag: u64,
}

// SAFETY: a block is memory that only its holder touches.
unsafe impl Send for Filled {}

/// The `index`th eight bytes of what a tag decides.
fn word(tag: u64, index: usize) -> [u8; 8] {
    tag.wrapping_add(index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).to_le_bytes()
}

impl Filled {
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the block is this value's own, and was written when it was made.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.layout.size()) }
    }

    fn fill(&mut self) {
        let tag = self.tag;
        for (index, to) in self.bytes().chunks_mut(8).enumerate() {
            to.copy_from_slice(&word(tag, index)[..to.len()]);
        }
    }

    fn check_first(&mut self, bytes: usize) {
        let (tag, start) = (self.tag, self.start);
        let bytes = bytes.min(self.layout.size());
        for (index, found) in self.bytes()[..bytes].chunks(8).enumerate() {
            assert!(*found == word(tag, index)[..found.len()], "word {index} of the block at {start:p}");
        }
    }

    pub(crate) fn check(&mut self) {
        self.check_first(usize::MAX);
    }
}

/// A heap's blocks and what they must contain: any two that overlapped would be seen.
pub(crate) struct Model<'h, K: Kind> {
    heap: &'h Heap<K>,
    pub(crate) blocks: Vec<Filled>,
    next_tag: u64,
}

impl<'h, K: Kind> Model<'h, K> {
    pub(crate) fn new(heap: &'h Heap<K>, first_tag: u64) -> Self {
        Self { heap, blocks: Vec::new(), next_tag: first_tag }
    }

    /// False where there is no memory.
    pub(crate) fn allocate(&mut self, layout: Layout) -> bool {
        let Some(start) = self.heap.allocate(layout) else { return false };
        self.put(start, layout);
        true
    }

    fn put(&mut self, start: NonNull<u8>, layout: Layout) {
        assert!(start.addr().get().is_multiple_of(layout.align()), "{start:p} for {layout:?}");
        self.next_tag += 1;
        let mut block = Filled { start, layout, tag: self.next_tag };
        block.fill();
        self.blocks.push(block);
    }

    fn allocate_zeroed(&mut self, layout: Layout) {
        let Some(start) = self.heap.allocate_zeroed(layout) else { return };
        // SAFETY: a new block, and zeroed bytes are initialised.
        let bytes = unsafe { slice::from_raw_parts(start.as_ptr(), layout.size()) };
        assert!(bytes.iter().all(|byte| *byte == 0), "{layout:?} at {start:p} is not zero");
        self.put(start, layout);
    }

    pub(crate) fn free(&mut self, pick: usize) {
        let Some(at) = pick.checked_rem(self.blocks.len()) else { return };
        let mut block = self.blocks.swap_remove(at);
        block.check();
        // SAFETY: the block was allocated with this layout, and is forgotten.
        unsafe { self.heap.deallocate(block.start, block.layout) };
    }

    fn resize(&mut self, pick: usize, size: usize) {
        let Some(at) = pick.checked_rem(self.blocks.len()) else { return };
        let mut block = self.blocks.swap_remove(at);
        block.check();
        let new = layout(size, block.layout.align());
        // SAFETY: the block was allocated with this layout; only the answer is used.
        if let Some(start) = unsafe { self.heap.reallocate(block.start, block.layout, new) } {
            let kept = block.layout.size().min(size);
            let mut moved = Filled { start, layout: new, tag: block.tag };
            moved.check_first(kept);
            moved.fill();
            self.blocks.push(moved);
        } else {
            block.check();
            self.blocks.push(block);
        }
    }

    pub(crate) fn free_all(&mut self) {
        while !self.blocks.is_empty() {
            self.free(0);
        }
    }

    /// A random operation, with some `enough` blocks live in the long run.
    pub(crate) fn step(&mut self, random: &mut StdRng, enough: usize) {
        let most = match random.random_range(0..100) {
            0..90 => 16 << random.random_range(0..9),
            90..99 => MIB >> random.random_range(0..6),
            _ => 9 * MIB,
        };
        let size = random.random_range(1..=most);
        let align = match random.random_range(0..100) {
            0..90 => 1 << random.random_range(0..5),
            90..99 => 1 << random.random_range(0..=16),
            _ => (128 * KIB) << random.random_range(0..6),
        };
        let pick = random.random_range(0..usize::MAX);
        match random.random_range(0..8) {
            0..3 if self.blocks.len() < 2 * enough => drop(self.allocate(layout(size, align))),
            3 if self.blocks.len() < 2 * enough => self.allocate_zeroed(layout(size, align)),
            4..6 => self.resize(pick, size),
            _ => self.free(pick),
        }
    }
}
