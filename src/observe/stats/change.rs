//! The difference of two snapshots.

use super::Stats;

/// What has changed from one snapshot to another: [`Stats::since`]. Each field is its namesake's
/// difference, below zero where there is less now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
#[expect(missing_docs, reason = "each is documented in Stats")]
pub struct Change {
    pub allocated: i64,
    pub requested: i64,
    pub requested_total: i64,
    pub freed_total: i64,
    /// None without the feature `allocation-counts`.
    pub allocations_total: Option<i64>,
    /// None without the feature `allocation-counts`.
    pub frees_total: Option<i64>,
    pub large: i64,
    pub large_count: i64,
    pub active: i64,
    pub slabs: i64,
    pub dirty: i64,
    pub clean: i64,
    pub retained: i64,
    pub metadata: i64,
    pub mapped: i64,
    pub committed: i64,
    /// None where either snapshot has none.
    pub resident: Option<i64>,
    pub purged_total: i64,
    pub purges_total: i64,
    pub failures_total: i64,
    /// Calls to the kernel, all together.
    pub calls: i64,
    /// Allocations that found no block at hand, of all classes.
    pub refills: i64,
}

impl Stats {
    /// What has changed since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Change {
        let bytes = |now: usize, then: usize| now.wrapping_sub(then) as i64;
        let total = |now: u64, then: u64| now.wrapping_sub(then).cast_signed();
        let counted = |now: Option<u64>, then| now.zip(then).map(|(now, then)| total(now, then));
        let calls = |stats: &Self| stats.calls.iter().map(|call| call.made).fold(0, u64::wrapping_add);
        let refills =
            |stats: &Self| stats.classes.iter().map(|class| class.refills).fold(0, u64::wrapping_add);
        Change {
            allocated: bytes(self.allocated, earlier.allocated),
            requested: bytes(self.requested, earlier.requested),
            requested_total: total(self.requested_total, earlier.requested_total),
            freed_total: total(self.freed_total, earlier.freed_total),
            allocations_total: counted(self.allocations_total, earlier.allocations_total),
            frees_total: counted(self.frees_total, earlier.frees_total),
            large: bytes(self.large, earlier.large),
            large_count: bytes(self.large_count, earlier.large_count),
            active: bytes(self.active, earlier.active),
            slabs: bytes(self.slabs, earlier.slabs),
            dirty: bytes(self.dirty, earlier.dirty),
            clean: bytes(self.clean, earlier.clean),
            retained: bytes(self.retained, earlier.retained),
            metadata: bytes(self.metadata, earlier.metadata),
            mapped: bytes(self.mapped, earlier.mapped),
            committed: bytes(self.committed, earlier.committed),
            resident: self.resident.zip(earlier.resident).map(|(now, then)| bytes(now, then)),
            purged_total: total(self.purged_total, earlier.purged_total),
            purges_total: total(self.purges_total, earlier.purges_total),
            failures_total: total(self.failures_total, earlier.failures_total),
            calls: total(calls(self), calls(earlier)),
            refills: total(refills(self), refills(earlier)),
        }
    }
}
