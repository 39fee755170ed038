//! A thread that purges when a delay has passed, so that a process shrinks that has gone idle: its
//! own slow paths, which would, no longer run. Only with the `background-purge` feature.
//!
//! It is started by the first free that leaves something to purge, holds no heap, allocates nothing,
//! takes no signals, and sleeps without a timeout while nothing waits. A forked child starts its own.

use core::ffi::c_void;
use core::sync::atomic::fence;

use crate::depot;
use crate::heap::{Heap, help, shared, tally};
use crate::large;
use crate::sync::Lock;
use crate::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use crate::sys::{self, background as thread};

/// The process that has a purger or is starting one, or zero.
static PROCESS: AtomicI32 = AtomicI32::new(0);

/// 1 while the purger sleeps until it is woken.
static ASLEEP: AtomicU32 = AtomicU32::new(0);

/// Held while it works, in steps: a fork waits for it, so that no units are lost to the child.
static WORKING: Lock<()> = Lock::new(());

/// Most bytes purged between two chances for a fork: some milliseconds.
const STEP_BYTES: usize = 16 << 20;

/// Whether there is a purger, to which slow paths leave the purging.
#[inline]
pub(crate) fn is_running() -> bool {
    PROCESS.load(Ordering::Relaxed) != 0
}

/// Called with no lock held after something was left to purge: starts the purger, or wakes it.
pub(crate) fn need() {
    if !is_running() {
        return start();
    }
    // Pairs with the fence in `sleep`: one of the two sees what the other has stored.
    fence(Ordering::SeqCst);
    if ASLEEP.load(Ordering::Relaxed) != 0 && ASLEEP.swap(0, Ordering::Relaxed) != 0 {
        thread::wake(&ASLEEP);
    }
}

#[cold]
fn start() {
    let process = thread::process_id();
    let is_first = PROCESS.compare_exchange(0, process, Ordering::Relaxed, Ordering::Relaxed).is_ok();
    // May allocate and so come here again, where there is one already. Refused, slow paths purge.
    if is_first && thread::spawn(run).is_err() {
        PROCESS.store(0, Ordering::Relaxed);
    }
}

extern "C-unwind" fn run(_: *mut c_void) -> *mut c_void {
    loop {
        let due_ms = due_ms();
        let now_ms = sys::now_ms();
        if due_ms == u64::MAX {
            sleep();
        } else if due_ms > now_ms {
            let wait_ms = due_ms.wrapping_sub(now_ms).min(1_000);
            sys::sleep_ns((wait_ms as i64).wrapping_mul(1_000_000));
        } else {
            work(now_ms);
        }
    }
}

fn due_ms() -> u64 {
    depot::next_due_ms().min(large::next_due_ms()).min(help::next_due_ms())
}

fn sleep() {
    ASLEEP.store(1, Ordering::Relaxed);
    fence(Ordering::SeqCst);
    if due_ms() == u64::MAX {
        thread::wait(&ASLEEP, 1);
    }
    ASLEEP.store(0, Ordering::Relaxed);
}

fn work(now_ms: u64) {
    let _working = WORKING.lock();
    // What ended threads left may have fallen empty meanwhile, and what live ones put aside is unused.
    help::help_due(now_ms);
    shared::trim();
    tally::heaps().for_each(Heap::give_up_spares);
    large::unmap_due();
    depot::purge(now_ms, STEP_BYTES);
}

/// Waits for the end of a step, for a fork.
pub(crate) fn hold() {
    WORKING.hold();
}

/// Ends [`hold`]. In the child there is no purger yet.
///
/// # Safety
/// As for [`Lock::release`].
pub(crate) unsafe fn release() {
    // SAFETY: forwarded to the caller.
    unsafe { WORKING.release() };
    if PROCESS.load(Ordering::Relaxed) != thread::process_id() {
        ASLEEP.store(0, Ordering::Relaxed);
        PROCESS.store(0, Ordering::Relaxed);
    }
}
