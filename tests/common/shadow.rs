//! The shadow model: which address ranges are live, and what they must contain.

use std::alloc::Layout;
use std::mem;
use std::sync::Arc;

use freestone::heaps::Heap;
use rand::rngs::StdRng;
use rand::{Rng, RngExt};

use super::block::{Filled, layout};
pub(crate) use super::ranges::Ranges;
use super::source::{Global, Source};
use super::{KIB, LARGEST_SMALL, LARGEST_SMALL_ALIGN, MIB};

/// One thing that a program does with an allocator. Picks are taken modulo what is there.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation {
    Allocate { size: usize, align: usize },
    AllocateZeroed { size: usize, align: usize },
    Resize { pick: usize, size: usize },
    Free { pick: usize },
}

impl Operation {
    /// A random operation: mostly small sizes, some of every magnitude, and more frees than
    /// allocations where more than `enough` blocks are live.
    pub(crate) fn random(random: &mut StdRng, live: usize, enough: usize) -> Self {
        let pick = random.next_u64() as usize;
        match random.random_range(0..8) {
            0..3 if live < 2 * enough => Self::Allocate { size: size(random), align: align(random) },
            3 if live < 2 * enough => Self::AllocateZeroed { size: size(random), align: align(random) },
            4..6 => Self::Resize { pick, size: size(random) },
            _ => Self::Free { pick },
        }
    }
}

/// Any magnitude is as likely as any other up to the small/large border, larger ones are rare.
fn size(random: &mut StdRng) -> usize {
    let most = match random.random_range(0..100) {
        0..90 => 16 << random.random_range(0..9),
        90..99 => LARGEST_SMALL >> random.random_range(0..6),
        _ => 3 * MIB,
    };
    random.random_range(1..=most)
}

fn align(random: &mut StdRng) -> usize {
    match random.random_range(0..100) {
        0..80 => 1 << random.random_range(0..5),
        80..99 => 1 << random.random_range(0..=LARGEST_SMALL_ALIGN.ilog2()),
        _ => (64 * KIB) << random.random_range(0..6),
    }
}

/// One thread's blocks from `S`: what they contain, and that none overlaps another that `ranges`
/// knows.
pub(crate) struct Live<S: Source> {
    source: S,
    ranges: Arc<Ranges>,
    blocks: Vec<Filled<S>>,
    next_tag: usize,
}

/// Blocks from the global allocator, which has memory for all of them.
pub(crate) type Shadow = Live<Global>;
/// Blocks from a heap, which may be full.
pub(crate) type Model<'h, K> = Live<&'h Heap<K>>;

impl Shadow {
    /// `first_tag` tells this thread's blocks from those of others.
    pub(crate) fn new(ranges: Arc<Ranges>, first_tag: usize) -> Self {
        Self { source: Global, ranges, blocks: Vec::new(), next_tag: first_tag }
    }

    /// Fails where there is no memory.
    pub(crate) fn apply(&mut self, operation: Operation) {
        assert!(self.try_apply(operation), "no memory for {operation:?}");
    }
}

impl<'h, K: freestone::heaps::Kind> Model<'h, K> {
    /// `first_tag` tells the blocks of this model from those of others in the heap.
    pub(crate) fn new(heap: &'h Heap<K>, first_tag: u64) -> Self {
        let first_tag = usize::try_from(first_tag).expect("64-bit tags");
        Self { source: heap, ranges: Arc::default(), blocks: Vec::new(), next_tag: first_tag }
    }

    /// A random operation, with some `enough` blocks live in the long run; not done where the heap
    /// is full.
    pub(crate) fn step(&mut self, random: &mut StdRng, enough: usize) {
        let operation = Operation::random(random, self.live(), enough);
        self.try_apply(operation);
    }
}

impl<S: Source> Live<S> {
    pub(crate) fn live(&self) -> usize {
        self.blocks.len()
    }

    /// False where there is no memory; then everything is as it was.
    pub(crate) fn try_apply(&mut self, operation: Operation) -> bool {
        match operation {
            Operation::Allocate { size, align } => self.allocate(layout(size, align)),
            Operation::AllocateZeroed { size, align } => {
                self.next_tag += 1;
                let block = Filled::try_zeroed_in(self.source, layout(size, align), self.next_tag);
                block.map(|block| self.put(block)).is_some()
            }
            Operation::Resize { pick, size } => {
                let Some(mut block) = self.take(pick) else { return true };
                let is_done = block.try_resize(size);
                block.check();
                self.put(block);
                is_done
            }
            Operation::Free { pick } => {
                drop(self.take(pick));
                true
            }
        }
    }

    /// False where there is no memory.
    pub(crate) fn allocate(&mut self, layout: Layout) -> bool {
        self.next_tag += 1;
        let block = Filled::try_new_in(self.source, layout, self.next_tag);
        block.map(|block| self.put(block)).is_some()
    }

    /// Notes a block, made here or handed over.
    pub(crate) fn put(&mut self, block: Filled<S>) {
        if let Err((other, bytes)) = self.ranges.insert(block.address(), block.size()) {
            let (start, end) = (block.address(), block.address() + block.size());
            panic!("{start:#x}..{end:#x} overlaps the live {other:#x}..{:#x}", other + bytes);
        }
        self.blocks.push(block);
    }

    /// Takes a block out of the model, to be freed or handed over.
    pub(crate) fn take(&mut self, pick: usize) -> Option<Filled<S>> {
        let at = pick.checked_rem(self.blocks.len())?;
        let block = self.blocks.swap_remove(at);
        block.check();
        assert_eq!(self.ranges.remove(block.address()), Some(block.size()), "a live block is in the model");
        Some(block)
    }

    pub(crate) fn free(&mut self, pick: usize) {
        drop(self.take(pick));
    }

    /// Fails unless every block contains what it must.
    pub(crate) fn check(&self) {
        self.blocks.iter().for_each(Filled::check);
    }

    pub(crate) fn free_all(&mut self) {
        while self.take(0).is_some() {}
    }

    /// Leaves the blocks where they are, for good.
    pub(crate) fn leave(self) {
        self.blocks.into_iter().for_each(mem::forget);
    }
}
