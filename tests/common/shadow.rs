//! The shadow model: which address ranges are live, and what they must contain.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rand::rngs::StdRng;
use rand::{Rng, RngExt};

use super::block::{Block, layout};
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

/// The ranges that are live in the whole process.
#[derive(Default)]
pub(crate) struct Ranges(Mutex<BTreeMap<usize, usize>>);

impl Ranges {
    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<usize, usize>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn insert(&self, block: &Block) {
        let (start, end) = (block.address(), block.address() + block.size());
        let clash = self.change(|ranges| {
            let before = ranges.range(..end).next_back().map(|(start, end)| (*start, *end));
            ranges.insert(start, end);
            before.filter(|(_, other_end)| *other_end > start)
        });
        if let Some((other, other_end)) = clash {
            panic!("{start:#x}..{end:#x} overlaps the live {other:#x}..{other_end:#x}");
        }
    }

    /// Before the block is freed: afterwards another thread may be given the range.
    fn remove(&self, block: &Block) {
        let end = self.change(|ranges| ranges.remove(&block.address()));
        assert_eq!(end, Some(block.address() + block.size()), "a live block is in the model");
    }
}

/// One thread's blocks.
pub(crate) struct Shadow {
    ranges: Arc<Ranges>,
    blocks: Vec<Block>,
    next_tag: usize,
}

impl Shadow {
    /// `first_tag` tells this thread's blocks from those of others.
    pub(crate) fn new(ranges: Arc<Ranges>, first_tag: usize) -> Self {
        Self { ranges, blocks: Vec::new(), next_tag: first_tag }
    }

    pub(crate) fn live(&self) -> usize {
        self.blocks.len()
    }

    pub(crate) fn apply(&mut self, operation: Operation) {
        self.next_tag += 1;
        match operation {
            Operation::Allocate { size, align } => self.put(Block::new(layout(size, align), self.next_tag)),
            Operation::AllocateZeroed { size, align } => {
                self.put(Block::zeroed(layout(size, align), self.next_tag));
            }
            Operation::Resize { pick, size } => {
                if let Some(mut block) = self.take(pick) {
                    block.resize(size);
                    self.put(block);
                }
            }
            Operation::Free { pick } => drop(self.take(pick)),
        }
    }

    /// Notes a block, made here or handed over.
    pub(crate) fn put(&mut self, block: Block) {
        self.ranges.insert(&block);
        self.blocks.push(block);
    }

    /// Takes a block out of the model, to be freed or handed over.
    pub(crate) fn take(&mut self, pick: usize) -> Option<Block> {
        let at = pick.checked_rem(self.blocks.len())?;
        let block = self.blocks.swap_remove(at);
        block.check();
        self.ranges.remove(&block);
        Some(block)
    }

    pub(crate) fn free_all(&mut self) {
        while self.take(0).is_some() {}
    }
}
