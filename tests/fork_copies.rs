//! Children that the C library's handlers know nothing of (`clone` without them), beside threads that are in the
//! middle of everything: no child waits for a lock that no thread of it holds, and all that it inherits
//! can be freed.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::block::{Block, layout};
use common::{KIB, MIB, child};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

const THREADS: usize = 4;
const CHILDREN: usize = 20;
/// Seconds after which the kernel ends a child that hangs.
const PATIENCE_SECONDS: u32 = 30;

/// Sizes on the way of every lock: slabs, whose last block goes, large ranges that are retained, and
/// others that are not.
fn blocks(tag: usize) -> Vec<Block> {
    let sizes = [16, 700, 5 * KIB, 30 * KIB, 200 * KIB, MIB + 1];
    sizes.iter().cycle().take(12).map(|size| Block::new(layout(*size, 8), tag)).collect()
}

fn churn(tag: usize, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let mut blocks = blocks(tag);
        blocks.iter_mut().for_each(|block| block.resize(block.size() * 2));
        // An ended thread's heap goes to the shared one, and waits for the next thread.
        thread::scope(|scope| drop(scope.spawn(|| drop(blocks))));
        if tag == 0 {
            freestone::purge();
        }
    }
}

/// A child of the calling thread alone, without anybody's handler.
fn bare_fork() -> libc::pid_t {
    // SAFETY: without flags it is what fork(2) asks of the kernel.
    unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) as libc::pid_t }
}

fn child_life(inherited: Vec<Block>, tag: usize) -> ! {
    // SAFETY: no preconditions.
    unsafe { libc::alarm(PATIENCE_SECONDS) };
    for round in 0..3 {
        drop(blocks(tag + round));
    }
    drop(inherited);
    freestone::purge();
    drop(blocks(tag));
    // SAFETY: no preconditions.
    unsafe { libc::_exit(0) }
}

fn children_live(fork: fn() -> libc::pid_t) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        (0..THREADS).for_each(|tag| {
            drop(scope.spawn({
                let stop = &stop;
                move || churn(tag, stop)
            }))
        });
        for number in 0..CHILDREN {
            let inherited = blocks(number);
            let process = fork();
            if process == 0 {
                child_life(inherited, number);
            }
            let mut status = 0;
            // SAFETY: `status` is writable for the call.
            let ended = unsafe { libc::waitpid(process, &raw mut status, 0) };
            if process == -1 || ended != process || status != 0 {
                stop.store(true, Ordering::Relaxed);
                panic!("child number {number}: process {process}, wait status {status:#x}");
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn copies_beside_busy_threads_live() {
    child::succeeds("copies_beside_busy_threads_live", || children_live(bare_fork));
}

#[test]
fn so_do_forked_children() {
    // SAFETY: the children do what is tested, and end without a handler.
    child::succeeds("so_do_forked_children", || children_live(|| unsafe { libc::fork() }));
}
