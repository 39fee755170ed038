//! Blocks on their way from one lane to another.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::block::Block;

/// Blocks that wait for one lane, at most: beyond it the giver frees them itself.
const ROOM: usize = 256;

/// What waits for one lane.
pub(crate) struct Mailbox {
    blocks: Mutex<Vec<Block>>,
    /// How many there are; a hint that is read without the lock.
    waiting: AtomicUsize,
}

impl Mailbox {
    pub(crate) fn new() -> Self {
        Self { blocks: Mutex::new(Vec::with_capacity(ROOM)), waiting: AtomicUsize::new(0) }
    }

    /// Leaves a block, unless the box is full.
    pub(crate) fn put(&self, block: Block) -> Result<(), Block> {
        if self.waiting.load(Ordering::Relaxed) >= ROOM {
            return Err(block);
        }
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        if blocks.len() >= ROOM {
            return Err(block);
        }
        blocks.push(block);
        self.waiting.store(blocks.len(), Ordering::Relaxed);
        Ok(())
    }

    /// Takes everything that waits into `into`, which is empty and has [`ROOM`](Self::pouch).
    pub(crate) fn take(&self, into: &mut Vec<Block>) {
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *blocks, into);
        self.waiting.store(0, Ordering::Relaxed);
    }

    /// What the allocator may count for what waits, at most.
    pub(crate) fn most_bytes(&self) -> usize {
        let blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.iter().map(Block::most_bytes).sum()
    }

    /// Something to [`take`](Self::take) into.
    pub(crate) fn pouch() -> Vec<Block> {
        Vec::with_capacity(ROOM)
    }
}
