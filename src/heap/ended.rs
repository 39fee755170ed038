//! What goes back as a thread ends and leaves much free memory: an eighth of all, or more.
//!
//! Free memory goes back on slow paths, and a process that has become idle takes none: it would
//! keep what its threads needed last. A thread's end is the last occasion. What is free goes back
//! then, be it likely to be needed again or not.
//!
//! A program that starts threads again and again would fault it in anew each time. So it happens
//! only as often as costs a hundredth of the time, with a start of [`ENDS_AHEAD_MIB`].
//!
//! State: the time from which on it may happen again.

use super::shared;
use crate::base::atomic::{AtomicU64, Ordering};
use crate::base::config::{ENDED_BYTES, ENDS_AHEAD_MIB, ENDS_MS_A_MIB};
use crate::memory::{depot, large};
use crate::os;
use crate::policy::limit::COMMITTED;
use crate::policy::options;

/// When it may happen again, on the clock of [`os::now_ms`].
static NEXT_MS: AtomicU64 = AtomicU64::new(0);

/// Purges what is free, if that is much. For a thread whose heap nobody uses any more.
pub(super) fn purge_if_much() {
    let now_ms = os::now_ms();
    let is_much = || {
        let free_bytes = depot::dirty_bytes().wrapping_add(large::retained_bytes());
        free_bytes > ENDED_BYTES.max(COMMITTED.used() / 8)
    };
    if options::get().purge_delay_ms == u64::MAX || now_ms < NEXT_MS.load(Ordering::Relaxed) || !is_much() {
        return;
    }
    let bytes =
        shared::purge_inside().wrapping_add(large::release_retained()).wrapping_add(depot::purge_dirty());
    let mib = (bytes >> 20) as u64;
    let earliest_ms = now_ms.saturating_sub(ENDS_AHEAD_MIB.saturating_mul(ENDS_MS_A_MIB));
    NEXT_MS.fetch_max(earliest_ms, Ordering::Relaxed);
    NEXT_MS.fetch_add(mib.saturating_mul(ENDS_MS_A_MIB), Ordering::Relaxed);
}
