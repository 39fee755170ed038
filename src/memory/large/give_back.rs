//! What becomes of freed ranges: they are retained for reuse, unmapped when that took too long, or
//! pending where the kernel refuses.

use super::{RETAINED, Range, guard, retained, shelf};
use crate::base::config::RETAINED_RANGES;
use crate::memory::pending;
use crate::os;
use crate::policy::limit::COMMITTED;

/// Retains a freed range, within bounds, and unmaps one that is due.
pub(super) fn retain_or_unmap(range: Range) {
    let now_ms = os::now_ms();
    // SAFETY: nobody refers to a freed range.
    let may_wait = !range.mapping.is_shelved() && unsafe { guard::shut(range) };
    // The next block in it may be filled less.
    let range = range.without_advice();
    let rejected = if may_wait { RETAINED.lock().put(range, now_ms) } else { Some(range) };
    if let Some(rejected) = rejected {
        unmap(rejected);
    }
    #[cfg(feature = "background-purge")]
    crate::memory::waiting::request_purge();
    purge_due();
}

/// Unmaps the oldest retained range, if it is due: one a slow path. Nothing where a thread purges.
#[inline]
pub(crate) fn purge_due() {
    #[cfg(feature = "background-purge")]
    if crate::memory::waiting::is_running() {
        return;
    }
    unmap_due();
}

/// When the oldest retained range is due; `u64::MAX` where there is none.
#[cfg(feature = "background-purge")]
pub(crate) fn next_due_ms() -> u64 {
    retained::next_due_ms()
}

/// Unmaps the oldest retained range, if it is due.
#[inline]
pub(crate) fn unmap_due() {
    if retained::is_due(os::now_ms) {
        let now_ms = os::now_ms();
        let due = RETAINED.lock().pop_due(now_ms);
        if let Some(range) = due {
            unmap(range);
        }
    }
}

/// Bytes of retained ranges.
pub(crate) fn retained_bytes() -> usize {
    RETAINED.lock().bytes()
}

/// Unmaps everything that is retained, pending, or a shelf without blocks. Returns the bytes that
/// were retained.
pub(crate) fn release_retained() -> usize {
    pending::retry(usize::MAX);
    shelf::release_empty();
    let mut released = 0_usize;
    // Bounded: a range that the kernel would not unmap is retained again, as of that moment.
    for _ in 0..RETAINED_RANGES {
        let oldest = RETAINED.lock().pop_oldest();
        let Some(range) = oldest else { break };
        released = released.wrapping_add(range.bytes);
        unmap(range);
    }
    released
}

/// Unmaps a range that is in no table, and that nobody refers to.
pub(super) fn unmap(range: Range) {
    // SAFETY: the range is in no table, and nobody else knows of it.
    if unsafe { range.unmap() } {
        return;
    }
    // ENOMEM at the map-count limit. The range is retained, unless its guards are mappings. Where
    // too many are, it is pending, without its pages.
    let rejected = if range.mapping.is_separate() {
        Some(range)
    } else {
        let now_ms = os::now_ms();
        RETAINED.lock().put_back(range, now_ms)
    };
    if let Some(rejected) = rejected {
        COMMITTED.release(rejected.bytes);
        let (start, bytes) = guard::with_guards(rejected);
        // SAFETY: as above. A range whose guards are marks cannot be written to now; any other
        // begins with a page that can.
        unsafe {
            if rejected.mapping.is_marked() {
                pending::keep_noted_or_lose(start, bytes);
            } else {
                guard::forget(rejected);
                pending::keep_linked(start, bytes, rejected.start);
            }
        }
    }
}
