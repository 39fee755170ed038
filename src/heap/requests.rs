//! How much a thread has allocated and freed: words that the fast paths count in.
//!
//! Two words and not one with the difference: the totals cost nothing then, and an allocation does
//! not wait for the store of the free before it.

use crate::base::atomic::Seen;
use crate::base::atomic::{AtomicU64, AtomicUsize};
use crate::policy::requested::Requested;

/// Counts of one heap. Its owner counts, and any thread reads. The count of frees is not here: it
/// is that of allocations, less the live blocks.
pub(super) struct Requests {
    /// Bytes allocated, as they were requested; wraps.
    allocated: Seen<AtomicUsize>,
    /// Bytes freed; wraps, and a thread may free more than it has allocated.
    freed: Seen<AtomicUsize>,
    /// Allocations. A block that is resized where it lies is none.
    allocations: Seen<AtomicU64>,
}

impl Requests {
    pub(super) const fn new() -> Self {
        Self {
            allocated: Seen::<AtomicUsize>::new(0),
            freed: Seen::<AtomicUsize>::new(0),
            allocations: Seen::<AtomicU64>::new(0),
        }
    }

    /// Counts an allocation of which no size is known.
    #[inline(always)]
    pub(super) fn count(&self) {
        #[cfg(feature = "allocation-counts")]
        self.allocations.set(self.allocations.get().wrapping_add(1));
    }

    #[inline(always)]
    pub(super) fn count_allocated(&self, bytes: usize) {
        self.allocated.set(self.allocated.get().wrapping_add(bytes));
        self.count();
    }

    #[inline(always)]
    pub(super) fn count_freed(&self, bytes: usize) {
        self.freed.set(self.freed.get().wrapping_add(bytes));
    }

    /// Whether bytes were freed through a layout.
    #[inline(always)]
    pub(super) fn has_freed(&self) -> bool {
        self.freed.get() != 0
    }

    /// Counts `more`. For slow paths.
    pub(super) fn add(&self, more: Requested) {
        let sum = self.read().and(more);
        self.allocated.set(sum.allocated);
        self.freed.set(sum.freed);
        self.allocations.set(sum.allocations);
    }

    pub(super) fn read(&self) -> Requested {
        Requested {
            allocated: self.allocated.get(),
            freed: self.freed.get(),
            allocations: self.allocations.get(),
        }
    }
}
