//! What was requested and freed since some moment: bytes, and how often.
#![forbid(unsafe_code)]

use crate::base::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What was requested and freed since the start.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Requested {
    /// Bytes allocated, as they were requested. A block that grows where it lies adds to them.
    pub(crate) allocated: usize,
    /// Bytes freed. A block that shrinks where it lies adds to them.
    pub(crate) freed: usize,
    /// The number of allocations; zero without the feature `allocation-counts`.
    pub(crate) allocations: u64,
}

impl Requested {
    pub(crate) const NONE: Self = Self { allocated: 0, freed: 0, allocations: 0 };

    /// An allocation of so many bytes.
    pub(crate) const fn allocation(bytes: usize) -> Self {
        Self { allocated: bytes, freed: 0, allocations: 1 }
    }

    /// A free of so many bytes.
    pub(crate) const fn free(bytes: usize) -> Self {
        Self { allocated: 0, freed: bytes, allocations: 0 }
    }

    /// What it means that a block of `old` bytes has `new` now, and lies where it did.
    pub(crate) const fn resized(old: usize, new: usize) -> Self {
        Self { allocated: new.saturating_sub(old), freed: old.saturating_sub(new), allocations: 0 }
    }

    /// The sum of both; wraps.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            allocated: self.allocated.wrapping_add(other.allocated),
            freed: self.freed.wrapping_add(other.freed),
            allocations: self.allocations.wrapping_add(other.allocations),
        }
    }

    /// What takes so much off again; wraps.
    pub(crate) fn negated(self) -> Self {
        Self {
            allocated: self.allocated.wrapping_neg(),
            freed: self.freed.wrapping_neg(),
            allocations: self.allocations.wrapping_neg(),
        }
    }

    /// The number of allocations, where it is counted.
    pub(crate) fn allocations(self) -> Option<u64> {
        cfg!(feature = "allocation-counts").then_some(self.allocations)
    }

    /// Bytes allocated and not freed. Counts of several heaps are read one after another: where
    /// that makes less than nothing, it is nothing.
    pub(crate) fn live(self) -> usize {
        self.allocated.wrapping_sub(self.freed).cast_signed().max(0).cast_unsigned()
    }
}

/// Such counts, which any thread changes.
pub(crate) struct SharedRequests {
    allocated: AtomicUsize,
    freed: AtomicUsize,
    allocations: AtomicU64,
}

impl SharedRequests {
    pub(crate) const fn new() -> Self {
        Self { allocated: AtomicUsize::new(0), freed: AtomicUsize::new(0), allocations: AtomicU64::new(0) }
    }

    pub(super) fn set(&self, to: Requested) {
        self.allocated.store(to.allocated, Ordering::Relaxed);
        self.freed.store(to.freed, Ordering::Relaxed);
        self.allocations.store(to.allocations, Ordering::Relaxed);
    }

    /// Adds `more`. What is zero in it costs nothing: a remote free in a group changes one word.
    #[inline]
    pub(crate) fn add(&self, more: Requested) {
        if more.allocated != 0 {
            self.allocated.fetch_add(more.allocated, Ordering::Relaxed);
        }
        if more.freed != 0 {
            self.freed.fetch_add(more.freed, Ordering::Relaxed);
        }
        if more.allocations != 0 {
            self.allocations.fetch_add(more.allocations, Ordering::Relaxed);
        }
    }

    pub(crate) fn read(&self) -> Requested {
        Requested {
            allocated: self.allocated.load(Ordering::Relaxed),
            freed: self.freed.load(Ordering::Relaxed),
            allocations: self.allocations.load(Ordering::Relaxed),
        }
    }
}
