//! What each operation does.

use rand::RngExt;

use crate::block::{Block, Fresh, Resized};
use crate::failure::Damage;
use crate::forked;
use crate::options::Order;
use crate::pattern::Care;
use crate::profile::Operation;
use crate::visitor::{self, GIVEN};
use crate::worker::{VISITORS, Worker};

/// What the lane goes on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Operation,
    /// The same, in another thread.
    Thread,
}

/// One zeroed block in this many is looked at byte by byte, however long it is.
const THOROUGH_ONE_IN: u32 = 16;

impl Worker {
    /// Chooses an operation and does it.
    pub(crate) fn operate(&mut self) -> Result<Next, Damage> {
        let operation = self.choose();
        self.digest.note(operation as u64);
        match operation {
            Operation::Allocate => self.allocate(Fresh::Any)?,
            Operation::AllocateZeroed => {
                let thorough = self.random.random_ratio(1, THOROUGH_ONE_IN);
                self.allocate(Fresh::Zero(if thorough { Care::Thorough } else { Care::Usual }))?;
            }
            Operation::Grow | Operation::Shrink => self.resize(operation)?,
            Operation::Free => self.free()?,
            Operation::Check => self.check()?,
            Operation::HandOver => self.hand_over()?,
            Operation::Visit => self.visit()?,
            Operation::Heir => return Ok(Next::Thread),
            Operation::Fork => self.fork()?,
            Operation::Purge => self.purge(),
        }
        Ok(Next::Operation)
    }

    /// An operation by the profile's weights, drawn towards the tide's number of blocks.
    fn choose(&mut self) -> Operation {
        let profile = self.run.options.profile;
        let operation = profile.operation(&mut self.random);
        let wanted = profile.tide(self.operation);
        let against = match operation {
            Operation::Allocate | Operation::AllocateZeroed => self.blocks.len() > wanted,
            Operation::Free => self.blocks.len() < wanted,
            _ => false,
        };
        if !against || self.random.random_ratio(1, 4) {
            return operation;
        }
        if operation == Operation::Free { Operation::Allocate } else { Operation::Free }
    }

    /// A block of the lane, taken out: usually any, sometimes the newest or the oldest.
    fn take(&mut self) -> Option<Block> {
        let count = self.blocks.len();
        if count == 0 {
            return None;
        }
        let at = match self.random.random_range(0..8) {
            0 => count - 1,
            1 => 0,
            _ => self.random.random_range(0..count),
        };
        Some(self.blocks.swap_remove(at))
    }

    fn allocate(&mut self, fresh: Fresh) -> Result<(), Damage> {
        self.doing = if fresh == Fresh::Any { "alloc" } else { "alloc_zeroed" };
        let profile = self.run.options.profile;
        if self.blocks.len() >= profile.blocks {
            return self.free();
        }
        let size = profile.size(&mut self.random);
        let layout = profile.layout(&mut self.random, size);
        self.digest.note(size as u64 ^ (layout.align() as u64) << 40);
        if self.run.reserve(size).is_none() {
            self.tally.full += 1;
            return self.free();
        }
        let id = self.id();
        match Block::allocate(layout, id, fresh, &mut self.times)? {
            Some(block) => self.blocks.push(block),
            None => {
                self.tally.refused += 1;
                self.run.release(size);
            }
        }
        Ok(())
    }

    fn free(&mut self) -> Result<(), Damage> {
        self.doing = "dealloc";
        if let Some(block) = self.take() {
            self.digest.note(block.size() as u64);
            self.run.release(block.free(&mut self.times)?);
        }
        Ok(())
    }

    /// A new size: by a little, by a factor, or anything of the profile's on the right side.
    fn resize(&mut self, operation: Operation) -> Result<(), Damage> {
        self.doing = "realloc";
        let Some(block) = self.take() else { return Ok(()) };
        let old = block.size();
        let any = self.run.options.profile.size(&mut self.random);
        let step = self.random.random_range(1..=64);
        let size = match (operation, self.random.random_range(0..3)) {
            (Operation::Grow, 0) => old + step,
            (Operation::Grow, 1) => old + old / 2,
            (Operation::Grow, _) => any.max(old),
            (_, 0) => old.saturating_sub(step),
            (_, 1) => old / 2,
            (_, _) => any.min(old),
        }
        .max(1);
        self.digest.note(size as u64 ^ (block.align() as u64) << 40);
        // Both may exist for a moment; what the old one has is given back afterwards.
        if self.run.reserve(size).is_none() {
            self.tally.full += 1;
            self.run.release(block.free(&mut self.times)?);
            return Ok(());
        }
        let id = self.id();
        let block = match block.resize(size, id, &mut self.times)? {
            Resized::Done(block) => {
                self.run.release(old);
                block
            }
            Resized::Refused(block) => {
                self.tally.refused += 1;
                self.run.release(size);
                block
            }
        };
        self.blocks.push(block);
        Ok(())
    }

    fn check(&mut self) -> Result<(), Damage> {
        self.doing = "a look at a block";
        if self.blocks.is_empty() {
            return Ok(());
        }
        let at = self.random.random_range(0..self.blocks.len());
        self.blocks[at].check()
    }

    /// Gives a block to another lane; alone, to a visitor.
    fn hand_over(&mut self) -> Result<(), Damage> {
        self.doing = "hand over a block";
        let lanes = self.run.lanes.len();
        if lanes == 1 {
            // A visitor takes many at once, so that it pays.
            return if self.random.random_ratio(1, GIVEN as u32) { self.visit() } else { self.free() };
        }
        let Some(block) = self.take() else { return Ok(()) };
        let to = (self.lane + self.random.random_range(1..lanes)) % lanes;
        match self.run.mailboxes[to].put(block) {
            Ok(()) => self.tally.handed_over += 1,
            Err(block) => self.run.release(block.free(&mut self.times)?),
        }
        Ok(())
    }

    fn visit(&mut self) -> Result<(), Damage> {
        self.doing = "start a thread";
        let given = (0..self.random.random_range(0..=GIVEN)).map_while(|_| self.take()).collect();
        let seed = self.random.random();
        let visitor = match visitor::start(self.run, self.witness(), seed, given) {
            Ok(visitor) => visitor,
            Err(given) => {
                self.tally.no_process += 1;
                return given.into_iter().try_for_each(|block| self.keep(block));
            }
        };
        self.tally.visits += 1;
        self.doing = "join a thread";
        if self.run.options.order == Order::Strict {
            return self.take_leave(visitor);
        }
        if self.visitors.len() == VISITORS {
            let oldest = self.visitors.remove(0);
            self.take_leave(oldest)?;
        }
        self.visitors.push(visitor);
        Ok(())
    }

    fn fork(&mut self) -> Result<(), Damage> {
        self.doing = "fork";
        let (seed, witness) = (self.random.random(), self.witness());
        if self.run.options.no_forks {
            return Ok(());
        }
        if forked::fork(witness, self.run.options.profile, seed, &mut self.blocks)? {
            self.tally.forks += 1;
        } else {
            self.tally.no_process += 1;
        }
        Ok(())
    }

    fn purge(&mut self) {
        self.doing = "purge";
        self.tally.purges += 1;
        freestone::purge();
    }
}
