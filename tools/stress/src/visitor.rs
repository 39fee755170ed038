//! Short-lived threads: they free blocks of others, leave blocks of their own behind, and
//! allocate and free while they are being torn down.

use std::alloc::Layout;
use std::sync::{Arc, Mutex, PoisonError};

use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

use crate::block::{Block, Fresh};
use crate::failure::{self, Damage, Witness};
use crate::native_thread::{self, Thread};
use crate::pattern::Care;
use crate::run::Run;
use crate::teardown;
use crate::timing::Untimed;

/// Blocks that a visitor is given, at most.
pub(crate) const GIVEN: usize = 32;
/// Blocks that it leaves to whoever started it, at most.
pub(crate) const LEFT: usize = 32;
/// Allocations of its own, at most.
const ORDERS: u32 = 200;
/// Blocks that it holds at a time.
const HELD: usize = 64;

/// Stacks: the smaller is near the least that glibc takes, the larger one that its cache keeps.
const STACKS: [usize; 2] = [64 << 10, 512 << 10];

/// What a visitor is to do.
struct Errand {
    run: &'static Run,
    witness: Witness,
    seed: u64,
    given: Vec<Block>,
    left: Arc<Mutex<Vec<Block>>>,
}

/// A visitor that was started.
pub(crate) struct Visitor {
    thread: Thread,
    left: Arc<Mutex<Vec<Block>>>,
}

/// Starts a visitor. Gives the blocks back if there can't be a thread.
pub(crate) fn start(
    run: &'static Run,
    witness: Witness,
    seed: u64,
    given: Vec<Block>,
) -> Result<Visitor, Vec<Block>> {
    let left = Arc::new(Mutex::new(Vec::with_capacity(LEFT)));
    let errand = Errand { run, witness, seed, given, left: Arc::clone(&left) };
    let stack = STACKS[(seed % 2) as usize];
    match native_thread::spawn(stack, errand, visit) {
        Ok(thread) => Ok(Visitor { thread, left }),
        Err(errand) => Err(errand.given),
    }
}

impl Visitor {
    /// Waits for the visitor's end. The blocks that it left.
    pub(crate) fn join(self) -> Vec<Block> {
        self.thread.join();
        std::mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn visit(errand: Errand) {
    let witness = errand.witness;
    if let Err(damage) = errand.run() {
        failure::report(&damage, witness);
    }
}

impl Errand {
    fn run(mut self) -> Result<(), Damage> {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(self.seed);
        for block in std::mem::take(&mut self.given) {
            self.run.release(block.free(&mut Untimed)?);
        }
        let mut held: Vec<Block> = Vec::with_capacity(HELD);
        for order in 0..random.random_range(0..ORDERS) {
            if held.len() == HELD || (!held.is_empty() && random.random_bool(0.4)) {
                let block = held.swap_remove(random.random_range(0..held.len()));
                self.run.release(block.free(&mut Untimed)?);
            } else if let Some(block) = self.order(&mut random, order)? {
                held.push(block);
            }
        }
        for block in held {
            match random.random_range(0..4) {
                0 => teardown::leave_to_local(self.witness, block),
                1 => teardown::leave_to_key(self.witness, block),
                2 => self.run.release(block.free(&mut Untimed)?),
                _ => {
                    let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
                    if left.len() < LEFT {
                        left.push(block);
                    } else {
                        drop(left);
                        self.run.release(block.free(&mut Untimed)?);
                    }
                }
            }
        }
        Ok(())
    }

    /// A block of the visitor's own.
    fn order(&self, random: &mut Xoshiro256PlusPlus, order: u32) -> Result<Option<Block>, Damage> {
        let profile = self.run.options.profile;
        let size = profile.size(random);
        let layout: Layout = profile.layout(random, size);
        let fresh = if random.random_bool(0.2) { Fresh::Zero(Care::Usual) } else { Fresh::Any };
        if self.run.reserve(size).is_none() {
            return Ok(None);
        }
        let block = Block::allocate(layout, self.seed ^ u64::from(order), fresh, &mut Untimed)?;
        if block.is_none() {
            self.run.release(size);
        }
        Ok(block)
    }
}
