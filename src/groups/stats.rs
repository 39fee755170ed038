//! A group's statistics.

use core::fmt;

/// What a group has and holds: [`Group::stats`](super::Group::stats). Bytes, unless said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct GroupStats {
    /// Live blocks as they were asked for, through `GlobalAlloc`.
    pub requested: usize,
    /// The most that `requested` was when it was looked at: before the group held more, and at
    /// times when a thread had no block at hand. In between it may have been more, by what
    /// fitted into free blocks. Never more than `peak`.
    pub requested_peak: usize,
    /// Bytes requested since the group began. A block that grows where it lies adds what it grows
    /// by.
    pub requested_total: u64,
    /// Bytes freed since the group began, as they were requested.
    pub freed_total: u64,
    /// The number of allocations since the group began, through both doors. None without the
    /// feature `allocation-counts`.
    pub allocations_total: Option<u64>,
    /// The number of frees since the group began: allocations less `blocks`. None without that
    /// feature.
    pub frees_total: Option<u64>,
    /// Live blocks as they are, large ones included.
    pub allocated: usize,
    /// The number of live blocks.
    pub blocks: usize,
    /// Of `allocated`, the ranges of large allocations.
    pub large: usize,
    /// The number of large allocations.
    pub large_count: usize,
    /// Carved blocks, used and free, and ranges of large allocations: what the limits are about.
    pub held: usize,
    /// The most that `held` has been.
    pub peak: usize,
    /// OS pages of carved blocks, and ranges of large allocations: resident, as far as they were
    /// written to.
    pub active: usize,
    /// Address space of the group's slabs.
    pub slabs: usize,
    /// The hard limit; `usize::MAX` for none.
    pub limit: usize,
    /// The soft limit; `usize::MAX` for none.
    pub soft_limit: usize,
    /// How many requests the hard limit has refused. An allocation may ask twice.
    pub refusals_total: u64,
    /// The number of heaps: the most threads that were in the group at once.
    pub heaps: usize,
}

impl fmt::Display for GroupStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "requested {:>14} bytes, {} seen at most", self.requested, self.requested_peak)?;
        writeln!(f, "  in all  {:>14} bytes, {} of them freed", self.requested_total, self.freed_total)?;
        if let (Some(allocations), Some(frees)) = (self.allocations_total, self.frees_total) {
            writeln!(f, "  calls   {allocations:>14} allocations, {frees} frees")?;
        }
        writeln!(f, "allocated {:>14} bytes in {} blocks", self.allocated, self.blocks)?;
        writeln!(f, "  large   {:>14} bytes in {} blocks", self.large, self.large_count)?;
        writeln!(f, "held      {:>14} bytes, {} at most so far", self.held, self.peak)?;
        writeln!(f, "active    {:>14} bytes", self.active)?;
        writeln!(f, "slabs     {:>14} bytes in {} heaps", self.slabs, self.heaps)?;
        for (name, limit) in [("limit", self.limit), ("soft", self.soft_limit)] {
            if limit != usize::MAX {
                writeln!(f, "{name:<10}{limit:>14} bytes")?;
            }
        }
        writeln!(f, "refused   {:>14} requests", self.refusals_total)
    }
}
