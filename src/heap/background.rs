//! The background purger: a thread that purges once the purge delay has passed, so that an idle
//! process shrinks. Without it only slow paths purge, and an idle process takes none. Only with the
//! `background-purge` feature.
//!
//! A slow path that leaves something to purge wakes the purger, or sets [`WANTED`] if there is
//! none. Then the door through which that call came starts the thread at the end of the call:
//! starting a thread allocates, and by then the heap is in order. The purger has no heap, allocates
//! nothing, and blocks all signals. It ends after a second without work. It also ends when it is
//! the program's last thread, since the process would otherwise live on. A forked child starts a
//! purger of its own.

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

/// How long the purger waits for work before it ends, and how often it checks whether it is the
/// last thread.
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
    // Starting a thread may allocate and so call this function again, which finds `RUNNING` set. If
    // the kernel refuses a thread, slow paths purge as they do without this feature.
    if is_first && threads::spawn(run).is_err() {
        RUNNING.store(false, Ordering::Relaxed);
    }
}

/// Forgets the parent's purger, which the child does not have. For a forked child.
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

/// Waits until a slow path wakes the purger, at most [`PATIENCE_MS`].
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
    // A thread that still saw a purger may have left work meanwhile. Then this purger goes on,
    // unless another one was started since.
    due_ms() == u64::MAX || RUNNING.swap(true, Ordering::Relaxed)
}

fn work(now_ms: u64) {
    // Slabs of ended threads may have fallen empty meanwhile. Spare slabs of live threads are
    // unused.
    help::help_due(now_ms);
    shared::trim();
    tally::heaps().for_each(Heap::give_up_spares);
    large::unmap_due();
    depot::purge(now_ms, STEP_BYTES);
}
