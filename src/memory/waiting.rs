//! What the background purger is told: that something waits for its time. Only with the `background-purge` feature.
//!
//! The thread itself is in `heap/background`; what leaves something to purge is below it.

use core::sync::atomic::fence;

use crate::base::atomic::{AtomicBool, AtomicU32, Ordering};
use crate::os::threads;

/// Whether there is a purger, or one is being started.
pub(crate) static RUNNING: AtomicBool = AtomicBool::new(false);

/// Whether a purger is to be started.
pub(crate) static WANTED: AtomicBool = AtomicBool::new(false);

/// 1 while the purger sleeps until it is woken.
pub(crate) static ASLEEP: AtomicU32 = AtomicU32::new(0);

/// Whether there is a purger, to which slow paths leave the purging.
#[inline]
pub(crate) fn is_running() -> bool {
    RUNNING.load(Ordering::Relaxed)
}

/// Called after something was left to purge: wakes the purger, or asks for one.
pub(crate) fn need() {
    // Pairs with the fences of the purger's `sleep` and `has_ended`: one of the two sees what the other has stored.
    fence(Ordering::SeqCst);
    if !is_running() {
        WANTED.store(true, Ordering::Relaxed);
    } else if ASLEEP.load(Ordering::Relaxed) != 0 && ASLEEP.swap(0, Ordering::Relaxed) != 0 {
        threads::wake(&ASLEEP);
    }
}
