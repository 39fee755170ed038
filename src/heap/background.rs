//! A thread that purges when a delay has passed, so that a process shrinks that has gone idle: its
//! own slow paths, which would, no longer run. Only with the `background-purge` feature.
//!
//! A free that leaves something to purge wants it, and the door that the free came by starts it,
//! when nothing is half done any more: a new thread allocates. It has no heap, allocates nothing,
//! and takes no signals. When there was nothing to do for a second it ends; so it does when the
//! program's other threads have all ended, or the process would not. A child starts its own.

use core::ffi::c_void;
use core::sync::atomic::fence;

use crate::base::atomic::Ordering;
use crate::heap::thread;
use crate::heap::{Heap, help, shared, tally};
use crate::memory::depot;
use crate::memory::large;
use crate::memory::waiting::{ASLEEP, RUNNING, WANTED};
use crate::os::{self, threads};

/// Most bytes purged at a time.
const STEP_BYTES: usize = 16 << 20;

/// How long the purger waits for something to do, and at most until it looks whether it is alone.
const PATIENCE_MS: u64 = 1_000;

/// Starts the purger if one is wanted. Called at the end of a call by any door, with no lock held
/// and the thread's heap in order.
#[inline]
pub(crate) fn start_wanted() {
    if WANTED.load(Ordering::Relaxed) {
        start();
    }
}

#[cold]
#[inline(never)]
fn start() {
    WANTED.store(false, Ordering::Relaxed);
    let is_first = !RUNNING.swap(true, Ordering::Relaxed);
    // May allocate and so come here again, where there is one already. Refused, slow paths purge.
    if is_first && threads::spawn(run).is_err() {
        RUNNING.store(false, Ordering::Relaxed);
    }
}

/// Forgets the purger of the parent. For a child.
pub(crate) fn forget() {
    ASLEEP.store(0, Ordering::Relaxed);
    RUNNING.store(false, Ordering::Relaxed);
    WANTED.store(due_ms() != u64::MAX, Ordering::Relaxed);
}

extern "C-unwind" fn run(_: *mut c_void) -> *mut c_void {
    thread::go_without_heap();
    loop {
        let due_ms = due_ms();
        let now_ms = os::now_ms();
        if due_ms == u64::MAX {
            sleep();
            if has_ended() {
                return core::ptr::null_mut();
            }
        } else if due_ms <= now_ms {
            work(now_ms);
        } else if due_ms.wrapping_sub(now_ms) < PATIENCE_MS {
            sleep_ms(due_ms.wrapping_sub(now_ms));
        } else {
            sleep_ms(PATIENCE_MS);
            if threads::is_last_thread() {
                return core::ptr::null_mut();
            }
        }
    }
}

fn due_ms() -> u64 {
    depot::next_due_ms().min(large::next_due_ms()).min(help::next_due_ms())
}

fn sleep_ms(milliseconds: u64) {
    os::sleep_ns(milliseconds.wrapping_mul(1_000_000));
}

/// Waits for something to do, not for long.
fn sleep() {
    ASLEEP.store(1, Ordering::Relaxed);
    fence(Ordering::SeqCst);
    if due_ms() == u64::MAX {
        threads::wait(&ASLEEP, 1, PATIENCE_MS);
    }
    ASLEEP.store(0, Ordering::Relaxed);
}

/// Ends the purger if there is nothing to do. From then on one is wanted again.
fn has_ended() -> bool {
    if due_ms() != u64::MAX {
        return false;
    }
    RUNNING.store(false, Ordering::Relaxed);
    fence(Ordering::SeqCst);
    // Occupancy meanwhile by somebody who saw a purger: unless another was started since, this one
    // goes on.
    due_ms() == u64::MAX || RUNNING.swap(true, Ordering::Relaxed)
}

fn work(now_ms: u64) {
    // What ended threads left may have fallen empty meanwhile, and what live ones put aside is
    // unused.
    help::help_due(now_ms);
    shared::trim();
    tally::heaps().for_each(Heap::give_up_spares);
    large::unmap_due();
    depot::purge(now_ms, STEP_BYTES);
}
