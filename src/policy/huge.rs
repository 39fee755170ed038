//! When memory gets huge pages. `memory/advice` carries the decisions out.
//!
//! A huge page that the kernel has at hand takes less time than the small pages it stands for. One
//! that it has to find may take several times as long as they do. A virtual machine that reports
//! its free memory to the host (free page reporting) has all of it to get back, page by page; small
//! pages come from fragments that were never handed over. Only the touch itself tells, so the
//! allocator times one, and asks for no more for a while after a dear one.
//!
//! State: the [`Backoff`] after dear huge pages, three atomic words.
#![forbid(unsafe_code)]

use crate::base::atomic::{AtomicU64, Ordering};
use crate::base::config::{
    HUGE_DEAR_NS, HUGE_FROM_BYTES, HUGE_LEAST_PASSED, HUGE_MOST_PASSED, HUGE_PAGE_BYTES,
};
use crate::os;
use crate::policy::options::{self, HugePagePolicy};

/// What the kernel is to be advised about a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    /// Nothing: the system's setting decides.
    Unadvised,
    /// Huge pages, where the kernel has them on request.
    Huge,
    /// Small pages, even where the kernel makes huge ones unasked.
    Small,
}

/// The advice for a fresh chunk. `is_dense`: whether its pages are likely to be used.
pub(crate) fn of_chunk(is_dense: impl FnOnce() -> bool) -> Advice {
    match options::get().huge_pages {
        HugePagePolicy::Never => Advice::Small,
        HugePagePolicy::Always => Advice::Huge,
        HugePagePolicy::Adaptive if is_dense() && are_worth_asking() => Advice::Huge,
        HugePagePolicy::Adaptive => Advice::Unadvised,
    }
}

/// The advice for a fresh large block of `bytes`. Adaptively, only a block that grows gets huge
/// pages: from the start they would fault in what may never be touched.
pub(crate) fn of_large(bytes: usize) -> Advice {
    match options::get().huge_pages {
        _ if bytes < HUGE_PAGE_BYTES => Advice::Unadvised,
        HugePagePolicy::Never => Advice::Small,
        HugePagePolicy::Always => Advice::Huge,
        HugePagePolicy::Adaptive => Advice::Unadvised,
    }
}

/// The advice for a fresh shelf. A huge page would make memory between its blocks resident, which
/// nobody touches.
pub(crate) fn of_shelf() -> Advice {
    if are_everywhere() { Advice::Unadvised } else { Advice::Small }
}

/// What becomes of the advice that a large block has when it has grown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Growth {
    /// It stays as it is.
    Keep,
    /// An earlier advice to have huge pages ends.
    End,
    /// What the block has grown by is to have huge pages, where [they are worth
    /// asking](are_worth_asking).
    Ask,
}

/// The decision for a block that has grown from `old_bytes` to `bytes`. `was_filled`: whether its
/// old bytes are resident; what it has grown by is likely to be filled then, too.
pub(crate) fn of_growth(old_bytes: usize, bytes: usize, was_filled: impl FnOnce() -> bool) -> Growth {
    let option = options::get().huge_pages;
    // Often enough to notice a block that grows step by step and is not filled, and never twice for
    // one huge page.
    let is_decided = old_bytes >= HUGE_FROM_BYTES && old_bytes / HUGE_PAGE_BYTES == bytes / HUGE_PAGE_BYTES;
    if bytes < HUGE_FROM_BYTES || option == HugePagePolicy::Never || is_decided {
        Growth::Keep
    } else if option == HugePagePolicy::Always || was_filled() {
        Growth::Ask
    } else {
        Growth::End
    }
}

/// Whether everything is to have huge pages, used or not.
pub(crate) fn are_everywhere() -> bool {
    options::get().huge_pages == HugePagePolicy::Always
}

/// Whether only memory gets huge pages that is likely to be used.
pub(crate) fn are_adaptive() -> bool {
    options::get().huge_pages == HugePagePolicy::Adaptive
}

/// Whether to ask for huge pages now, where they would be used. An occasion each: after a dear
/// one, some occasions [pass](Backoff).
pub(crate) fn are_worth_asking() -> bool {
    match options::get().huge_pages {
        HugePagePolicy::Never => false,
        HugePagePolicy::Always => true,
        HugePagePolicy::Adaptive => BACKOFF.is_over(),
    }
}

/// Times `touch`, which faults in a huge page. Whether the memory keeps the advice to have huge
/// pages: it was quick, or everything is to have them.
pub(crate) fn is_worth(touch: impl FnOnce()) -> bool {
    let before = os::now_ns();
    touch();
    let took = os::now_ns().wrapping_sub(before);
    BACKOFF.note(took) || are_everywhere()
}

/// Huge pages that took longer than the small ones they stand for, since the start.
pub(crate) fn dear_total() -> u64 {
    BACKOFF.dear.load(Ordering::Relaxed)
}

static BACKOFF: Backoff = Backoff::new();

/// Exponential backoff after dear huge pages. Threads that race lose a count, which does no harm.
struct Backoff {
    /// Occasions still to pass without asking.
    to_pass: AtomicU64,
    /// The number of occasions after the last dear one; zero after a quick one.
    passed: AtomicU64,
    /// Dear huge pages since the start.
    dear: AtomicU64,
}

impl Backoff {
    const fn new() -> Self {
        Self { to_pass: AtomicU64::new(0), passed: AtomicU64::new(0), dear: AtomicU64::new(0) }
    }

    /// Whether no occasion has to pass any more; else passes this one.
    fn is_over(&self) -> bool {
        let left = self.to_pass.load(Ordering::Relaxed);
        self.to_pass.store(left.saturating_sub(1), Ordering::Relaxed);
        left == 0
    }

    /// Notes how long a huge page took. Whether it was quick. After a dear one, twice as many
    /// occasions pass as after the last.
    fn note(&self, took_ns: u64) -> bool {
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
    fn passes(backoff: &Backoff) -> u64 {
        (0..).take_while(|_| !backoff.is_over()).count() as u64
    }

    #[test]
    fn dear_ones_are_asked_for_ever_more_seldom_and_quick_ones_always() {
        let backoff = Backoff::new();
        assert_eq!(passes(&backoff), 0);
        for times in 0..3 {
            assert!(!backoff.note(HUGE_DEAR_NS));
            assert_eq!(passes(&backoff), HUGE_LEAST_PASSED << times);
        }
        for _ in 0..20 {
            assert!(!backoff.note(u64::MAX));
        }
        assert_eq!(passes(&backoff), HUGE_MOST_PASSED);
        assert!(backoff.note(HUGE_DEAR_NS - 1));
        assert_eq!(passes(&backoff), 0);
        assert!(!backoff.note(HUGE_DEAR_NS));
        assert_eq!(passes(&backoff), HUGE_LEAST_PASSED);
        assert_eq!(backoff.dear.load(Ordering::Relaxed), 24);
    }
}
