//! The words that slow paths share with the background purger. Only with the `background-purge`
//! feature.
//!
//! The thread itself is in `heap/background`, above this room; the slow paths that leave something
//! to purge are in this room and above.
//!
//! State: three atomic words, each written as its comment says. The purger and the slow paths
//! order them by sequentially consistent fences.

use core::sync::atomic::fence;

use crate::base::atomic::{AtomicBool, AtomicU32, Ordering};
use crate::os::threads;

/// Whether there is a purger, or one is being started. Written by the purger and who starts it.
pub(crate) static RUNNING: AtomicBool = AtomicBool::new(false);

/// Whether a purger is to be started. Set by slow paths, cleared by who starts it.
pub(crate) static WANTED: AtomicBool = AtomicBool::new(false);

/// 1 while the purger sleeps until it is woken. Set by the purger, cleared by who wakes it.
pub(crate) static ASLEEP: AtomicU32 = AtomicU32::new(0);

/// Whether there is a purger, to which slow paths leave the purging.
#[inline]
pub(crate) fn is_running() -> bool {
    RUNNING.load(Ordering::Relaxed)
}

/// Wakes the purger, or requests one. Called after something was left to purge.
pub(crate) fn request_purge() {
    // Pairs with the fences of the purger's `sleep` and `has_ended`: one of the two sees what the
    // other has stored.
    fence(Ordering::SeqCst);
    if !is_running() {
        WANTED.store(true, Ordering::Relaxed);
    } else if ASLEEP.load(Ordering::Relaxed) != 0 && ASLEEP.swap(0, Ordering::Relaxed) != 0 {
        threads::wake(&ASLEEP);
    }
}
