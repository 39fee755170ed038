//! Whether huge pages are worth asking for: by the option, and by what the last one took.
//!
//! One that the kernel has at hand takes a third of the time of the small pages it stands for. One
//! that it has to find may take five times theirs: a virtual machine that reports its free memory
//! to the host (free page reporting) has all of it to get back, page by page, while small pages
//! come from fragments that were never handed over. Only the touch itself tells.
#![forbid(unsafe_code)]

use crate::base::atomic::{AtomicU64, Ordering};
use crate::base::config::{HUGE_DEAR_NS, HUGE_LEAST_PASSED, HUGE_MOST_PASSED};
use crate::os;
use crate::policy::options::{self, HugePagePolicy};

static JUDGE: Judge = Judge::new();

/// Whether to ask for them now, where they would do good.
pub(crate) fn are_worth_asking() -> bool {
    match options::get().huge_pages {
        HugePagePolicy::Never => false,
        HugePagePolicy::Always => true,
        HugePagePolicy::Adaptive => JUDGE.allows(),
    }
}

/// Runs `touch`, which faults a huge page in, and remembers whether that was dear. False if so, and
/// none are to be asked for any more.
pub(crate) fn is_worth(touch: impl FnOnce()) -> bool {
    let before = os::now_ns();
    touch();
    let took = os::now_ns().wrapping_sub(before);
    JUDGE.hears(took) || options::get().huge_pages == HugePagePolicy::Always
}

/// Huge pages that took longer than the small ones they stand for, since the start.
pub(crate) fn dear_total() -> u64 {
    JUDGE.dear.load(Ordering::Relaxed)
}

/// What is remembered. Threads that meet here lose a count, which does no harm.
struct Judge {
    /// Occasions still to pass without asking.
    to_pass: AtomicU64,
    /// How many were to be passed the last time; zero after a quick one.
    passed: AtomicU64,
    dear: AtomicU64,
}

impl Judge {
    const fn new() -> Self {
        Self { to_pass: AtomicU64::new(0), passed: AtomicU64::new(0), dear: AtomicU64::new(0) }
    }

    fn allows(&self) -> bool {
        let left = self.to_pass.load(Ordering::Relaxed);
        self.to_pass.store(left.saturating_sub(1), Ordering::Relaxed);
        left == 0
    }

    /// After a dear one, twice as many occasions pass as after the last. Whether it was quick.
    fn hears(&self, took_ns: u64) -> bool {
        if took_ns < HUGE_DEAR_NS {
            self.passed.store(0, Ordering::Relaxed);
            return true;
        }
        let pass = self.passed.load(Ordering::Relaxed).wrapping_mul(2);
        let pass = pass.clamp(HUGE_LEAST_PASSED, HUGE_MOST_PASSED);
        self.passed.store(pass, Ordering::Relaxed);
        self.to_pass.store(pass, Ordering::Relaxed);
        self.dear.fetch_add(1, Ordering::Relaxed);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many occasions pass until one is allowed.
    fn passes(judge: &Judge) -> u64 {
        (0..).take_while(|_| !judge.allows()).count() as u64
    }

    #[test]
    fn dear_ones_are_asked_for_ever_more_seldom_and_quick_ones_always() {
        let judge = Judge::new();
        assert_eq!(passes(&judge), 0);
        for times in 0..3 {
            assert!(!judge.hears(HUGE_DEAR_NS));
            assert_eq!(passes(&judge), HUGE_LEAST_PASSED << times);
        }
        for _ in 0..20 {
            assert!(!judge.hears(u64::MAX));
        }
        assert_eq!(passes(&judge), HUGE_MOST_PASSED);
        assert!(judge.hears(HUGE_DEAR_NS - 1));
        assert_eq!(passes(&judge), 0);
        assert!(!judge.hears(HUGE_DEAR_NS));
        assert_eq!(passes(&judge), HUGE_LEAST_PASSED);
        assert_eq!(judge.dear.load(Ordering::Relaxed), 24);
    }
}
