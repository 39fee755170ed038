//! Forks: a child, whose only thread is the image of the one that forked, must be able to use
//! every block it has inherited, to allocate, and to start threads.

use std::alloc::Layout;

use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

use crate::block::{Block, Fresh};
use crate::failure::{self, Damage, Witness};
use crate::limits;
use crate::native_thread;
use crate::pattern::Care;
use crate::profile::Profile;
use crate::ranges;
use crate::timing::Untimed;

/// A child that takes longer has hung. Generous: machines that stress runs share are slow.
const PATIENCE_SECONDS: libc::c_uint = 120;
/// Inherited blocks that a child looks at, and frees.
const INHERITED: usize = 64;
/// Operations of its own.
const OPERATIONS: u64 = 300;
/// Blocks that it holds at a time.
const HELD: usize = 48;
/// Bytes of one of its blocks, at most: it is one of many processes.
const MOST_BYTES: usize = 4 << 20;

/// Forks, and waits for the child. Whether there was one.
pub(crate) fn fork(
    witness: Witness,
    profile: &'static Profile,
    seed: u64,
    blocks: &mut Vec<Block>,
) -> Result<bool, Damage> {
    // SAFETY: the child calls the allocator, pthreads and system calls only.
    match unsafe { libc::fork() } {
        -1 => Ok(false),
        0 => child(witness, profile, seed, blocks),
        child => wait(child).map(|()| true),
    }
}

fn wait(child: libc::pid_t) -> Result<(), Damage> {
    let mut status = 0;
    // SAFETY: `status` is writable for the call.
    while unsafe { libc::waitpid(child, &raw mut status, 0) } == -1 {}
    if status == 0 { Ok(()) } else { Err(Damage::Child { status }) }
}

/// What the child's thread gets.
struct Task {
    witness: Witness,
    profile: &'static Profile,
    seed: u64,
}

fn child(witness: Witness, profile: &'static Profile, seed: u64, blocks: &mut Vec<Block>) -> ! {
    // SAFETY: no preconditions; the default action of SIGALRM ends the process.
    unsafe { libc::alarm(PATIENCE_SECONDS) };
    // The locks of the harness may be held by threads that are not there.
    limits::lift_in_child();
    ranges::close();
    let witness = Witness { doing: "fork, in the child", ..witness };
    let task = Task { witness, profile, seed };
    if let Err(damage) = task.inherit(blocks).and_then(|()| task.operate()) {
        failure::report(&damage, witness);
    }
    if seed.is_multiple_of(3) {
        freestone::purge();
    }
    let thread = native_thread::spawn(256 << 10, Task { seed: !seed, ..task }, |task| {
        if let Err(damage) = task.operate() {
            failure::report(&damage, task.witness);
        }
    });
    if let Ok(thread) = thread {
        thread.join();
    }
    // SAFETY: no preconditions. The parent's handlers and buffers are not the child's to run.
    unsafe { libc::_exit(0) }
}

impl Task {
    /// Looks at inherited blocks and frees some. They are the child's own copies.
    fn inherit(&self, blocks: &mut Vec<Block>) -> Result<(), Damage> {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(self.seed);
        for _ in 0..INHERITED.min(blocks.len()) {
            let at = random.random_range(0..blocks.len());
            if random.random_bool(0.5) {
                blocks[at].check()?;
            } else {
                blocks.swap_remove(at).free(&mut Untimed)?;
            }
        }
        Ok(())
    }

    /// Allocates and frees.
    fn operate(&self) -> Result<(), Damage> {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(self.seed ^ 1);
        let mut held: Vec<Block> = Vec::with_capacity(HELD);
        for id in 0..OPERATIONS {
            if held.len() == HELD || (!held.is_empty() && random.random_bool(0.45)) {
                held.swap_remove(random.random_range(0..held.len())).free(&mut Untimed)?;
                continue;
            }
            let size = self.profile.size(&mut random).min(MOST_BYTES);
            let layout: Layout = self.profile.layout(&mut random, size);
            let fresh = if random.random_bool(0.2) { Fresh::Zero(Care::Usual) } else { Fresh::Any };
            if let Some(block) = Block::allocate(layout, id, fresh, &mut Untimed)? {
                held.push(block);
            }
        }
        for block in held {
            block.free(&mut Untimed)?;
        }
        Ok(())
    }
}
