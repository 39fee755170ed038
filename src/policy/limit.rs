//! The count of committed bytes, with a hard limit and a soft one, and the count of failures.
//!
//! State: [`COMMITTED`] and the failures, atomic words without ordering among them.
#![forbid(unsafe_code)]

use super::options::UNLIMITED;
use crate::base::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Bytes that the allocator has committed: units of chunks that are not known to read as zero, and
/// large and retained ranges.
pub(crate) static COMMITTED: Limit = Limit::new();

/// Requests that were answered with null, since the start.
static FAILURES: AtomicU64 = AtomicU64::new(0);

/// Counts a request that is answered with null.
pub(crate) fn note_failure() {
    FAILURES.fetch_add(1, Ordering::Relaxed);
}

/// Requests that were answered with null, since the start.
pub(crate) fn failures() -> u64 {
    FAILURES.load(Ordering::Relaxed)
}

/// A counter with a hard and a soft limit. `used ≤ hard` at every moment, if the hard limit was set
/// before and [`add`](Self::add) was not called.
pub(crate) struct Limit {
    used: AtomicUsize,
    hard: AtomicUsize,
    soft: AtomicUsize,
    /// Whether the soft limit counts as passed, until well below it.
    above: AtomicBool,
    /// Whether it was passed since [`take_due`](Self::take_due) was last called.
    due: AtomicBool,
}

impl Limit {
    /// A count without limits.
    pub(crate) const fn new() -> Self {
        Self {
            used: AtomicUsize::new(0),
            hard: AtomicUsize::new(UNLIMITED),
            soft: AtomicUsize::new(UNLIMITED),
            above: AtomicBool::new(false),
            due: AtomicBool::new(false),
        }
    }

    /// Changes the limits.
    pub(crate) fn set(&self, hard: usize, soft: usize) {
        self.hard.store(hard, Ordering::Relaxed);
        self.soft.store(soft, Ordering::Relaxed);
    }

    /// Changes the hard limit.
    pub(crate) fn set_hard(&self, hard: usize) {
        self.hard.store(hard, Ordering::Relaxed);
    }

    /// Changes the soft limit, which counts as not passed yet.
    pub(crate) fn set_soft(&self, soft: usize) {
        self.soft.store(soft, Ordering::Relaxed);
        self.above.store(false, Ordering::Relaxed);
        self.due.store(false, Ordering::Relaxed);
    }

    /// The hard limit and the soft one.
    pub(crate) fn limits(&self) -> [usize; 2] {
        [self.hard.load(Ordering::Relaxed), self.soft.load(Ordering::Relaxed)]
    }

    /// Bytes counted.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Counts `bytes` that are about to be mapped or touched. False, and nothing is counted, where
    /// they would pass the hard limit.
    #[must_use]
    pub(crate) fn reserve(&self, bytes: usize) -> bool {
        let hard = self.hard.load(Ordering::Relaxed);
        let before = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|sum| *sum <= hard)
        });
        if let Ok(before) = before {
            self.note_use(before.wrapping_add(bytes));
        }
        before.is_ok()
    }

    /// Whether `bytes` in all are within the hard limit.
    pub(crate) fn could_hold(&self, bytes: usize) -> bool {
        bytes <= self.hard.load(Ordering::Relaxed)
    }

    /// Counts `bytes` that are resident already, even past the hard limit.
    pub(crate) fn add(&self, bytes: usize) {
        self.note_use(self.used.fetch_add(bytes, Ordering::Relaxed).wrapping_add(bytes));
    }

    /// Notes that `used` bytes are counted now, for the soft limit.
    fn note_use(&self, used: usize) {
        if used > self.soft.load(Ordering::Relaxed) && !self.above.swap(true, Ordering::Relaxed) {
            self.due.store(true, Ordering::Relaxed);
        }
    }

    /// Ends the count of `bytes`: the kernel has them back, or did not give them.
    pub(crate) fn release(&self, bytes: usize) {
        let used = self.used.fetch_sub(bytes, Ordering::Relaxed).wrapping_sub(bytes);
        if self.above.load(Ordering::Relaxed) {
            let soft = self.soft.load(Ordering::Relaxed);
            // Not at the limit itself: a program about it would pass it all the time.
            if used <= soft.wrapping_sub(soft / 32) {
                self.above.store(false, Ordering::Relaxed);
            }
        }
    }

    /// Whether the soft limit has been passed since this was last true.
    #[inline]
    pub(crate) fn take_due(&self) -> bool {
        self.due.load(Ordering::Relaxed) && self.due.swap(false, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize as Count;
    use std::thread;

    #[test]
    fn never_passes_the_hard_limit() {
        let limit = Limit::new();
        limit.set(100, UNLIMITED);
        assert!(limit.reserve(60) && !limit.reserve(41) && limit.reserve(40));
        assert!(!limit.reserve(1) && !limit.reserve(usize::MAX));
        limit.release(10);
        assert!(limit.reserve(10));
        assert_eq!(limit.used(), 100);
    }

    #[test]
    fn tells_once_of_each_passing() {
        let limit = Limit::new();
        limit.set(UNLIMITED, 320);
        assert!(limit.reserve(320) && !limit.take_due());
        assert!(limit.reserve(1) && limit.take_due() && !limit.take_due());
        assert!(limit.reserve(50) && !limit.take_due());
        // To just below the limit and up again: still the same passing.
        limit.release(60);
        assert!(limit.reserve(60) && !limit.take_due());
        limit.release(61);
        assert!(limit.reserve(61) && limit.take_due());
    }

    #[test]
    fn threads_race_for_the_last_bytes() {
        let limit = Limit::new();
        limit.set(1_000, UNLIMITED);
        let granted = Count::new(0);
        thread::scope(|scope| {
            for step in 1..=16 {
                let (limit, granted) = (&limit, &granted);
                scope.spawn(move || {
                    for _ in 0..500 {
                        if limit.reserve(step) {
                            granted.fetch_add(step, Ordering::Relaxed);
                        }
                        assert!(limit.used() <= 1_000);
                    }
                });
            }
        });
        assert_eq!(granted.load(Ordering::Relaxed), limit.used());
        assert!(limit.used() > 1_000 - 16, "refused only where less was left than was asked for");
    }
}
