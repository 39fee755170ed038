//! Children that the C library's handlers know nothing of (`clone` without them), beside threads
//! that are in the middle of everything: no child waits for a lock that no thread of it holds, and
//! all that it inherits can be freed.

mod common;

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::block::{Block, layout};
use common::{KIB, MIB, child};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

const THREADS: usize = 4;
const CHILDREN: usize = 60;
/// Seconds after which the kernel ends a child that hangs.
const PATIENCE_SECONDS: u32 = 20;

/// Sizes on the way of every lock: slabs, whose last block goes, large ranges that are retained,
/// and others that are not.
fn blocks(tag: usize) -> Vec<Block> {
    let sizes = [16, 700, 5 * KIB, 30 * KIB, 200 * KIB, MIB + 1];
    sizes.iter().cycle().take(12).map(|size| Block::new(layout(*size, 8), tag)).collect()
}

/// Takes the locks as often as can be: nothing is written to the blocks.
fn churn(tag: usize, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        for size in [MIB + 1, 300 * KIB, 3 * MIB, 200 * KIB].into_iter().cycle().take(400) {
            drop(black_box(Vec::<u8>::with_capacity(size)));
        }
        if tag == 0 {
            // An ended thread's heap goes to the shared one, and waits for the next thread.
            thread::scope(|scope| drop(scope.spawn(move || drop(blocks(tag)))));
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
    drop(blocks(tag));
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
