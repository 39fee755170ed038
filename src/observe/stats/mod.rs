//! Where memory is: what the allocator knows of itself, counted from its records.
//!
//! One figure costs a fast path an instruction, the bytes asked for: what is live is found in the
//! slabs' own counts, and what is counted one by one is counted on slow paths. Heaps count their
//! full slabs, so only slabs with room are looked at. For exact counts of calls there is
//! [`Counted`](crate::counting::Counted).

use crate::block::size_class::CLASSES;

mod change;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod count;
mod display;
mod heaps;

pub use change::Change;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub use count::{heap_stats, stats};
pub use heaps::{HeapUser, ThreadStats};

/// A snapshot of the allocator's books. Taken while other threads allocate, it is a moment's
/// impression, each figure for itself; taken while none does, it is exact. Bytes throughout,
/// unless a field says otherwise; what ends in `_total` counts since the start.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Stats {
    /// Blocks that callers hold, rounded as they are allocated: to their size class, or to the OS
    /// page for large allocations.
    pub allocated: usize,
    /// Blocks freed by other threads than their slab's, which it has not taken back yet: its thread
    /// does at its next slow path. Of each slab, a thread that frees holds back at most 64 blocks
    /// or 8 KiB.
    pub in_flight: usize,
    /// Blocks that threads have freed and keep in bins for their next allocations: at most 63
    /// blocks or 16 KiB of a size class and a thread, of classes whose frees are scattered over a
    /// large heap.
    pub binned: usize,
    /// Blocks that callers hold, as they asked for them through `GlobalAlloc`. A block that goes
    /// through both doors, in by one and out by the other, makes it inexact.
    pub requested: usize,
    /// Bytes requested through `GlobalAlloc` since the start. A block that grows where it lies adds
    /// what it grows by.
    pub requested_total: u64,
    /// Bytes freed through `GlobalAlloc` since the start, as they were requested.
    pub freed_total: u64,
    /// The number of allocations since the start, through both doors. None without the feature
    /// `allocation-counts`.
    pub allocations_total: Option<u64>,
    /// The number of frees since the start: allocations less live blocks. None without that
    /// feature.
    pub frees_total: Option<u64>,
    /// Of those allocated, large allocations.
    pub large: usize,
    /// How many large allocations there are.
    pub large_count: usize,
    /// OS pages that hold blocks, or did since their slab began: large allocations, and slabs as
    /// far as they were carved.
    pub active: usize,
    /// Address space of slabs, used or not.
    pub slabs: usize,
    /// Free units of chunks whose pages may be resident.
    pub dirty: usize,
    /// Free units of chunks without a resident page: purged, or never touched; and what lies
    /// between the blocks of a shared mapping.
    pub clean: usize,
    /// Freed large ranges that wait for reuse, and whatever the kernel did not take back yet.
    pub retained: usize,
    /// The allocator's own records: chunk headers, heaps, tables.
    pub metadata: usize,
    /// Address space mapped: slabs, free units, large allocations, retained ranges, records.
    pub mapped: usize,
    /// Of that, what counts for the memory limit: all but the allocator's own tables, purged units,
    /// and the part of a fresh chunk from which no slab has been cut.
    pub committed: usize,
    /// What the whole process has resident: stacks, code and files too. None unless
    /// [`with_resident`](Self::with_resident) has asked the kernel, and could.
    pub resident: Option<usize>,
    /// Given back by purges.
    pub purged_total: u64,
    /// How many runs of pages purges have given back.
    pub purges_total: u64,
    /// Requests for memory that were answered with null.
    pub failures_total: u64,
    /// Copied by large `realloc`s because the kernel refused to move pages.
    pub copied_total: u64,
    /// Address space perhaps lost: the kernel refused to move pages, and to say whether their
    /// target is still mapped.
    pub lost_total: u64,
    /// Huge pages that took longer to fault in than the small pages they stand for; after each,
    /// none are asked for during a while
    /// ([`HugePagePolicy::Adaptive`](crate::HugePagePolicy::Adaptive)).
    pub dear_huge_pages_total: u64,
    calls: [CallStats; 4],
    #[cfg_attr(feature = "serde", serde(serialize_with = "only_used"))]
    classes: [ClassStats; CLASSES],
}

/// How often one system call was made, since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CallStats {
    /// The call's name, as in section 2 of the manual.
    pub name: &'static str,
    /// How often it was made, with the refused ones.
    pub made: u64,
    /// How often the kernel refused, which is an ordinary answer.
    pub refused: u64,
}

/// The books of one size class.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ClassStats {
    /// Bytes of a block.
    pub block: usize,
    /// Blocks that callers hold.
    pub used: usize,
    /// Blocks freed by other threads than their slab's, which it has not taken back yet.
    pub in_flight: usize,
    /// Blocks that threads have freed and keep in their bins.
    pub binned: usize,
    /// Blocks that its slabs have room for.
    pub capacity: usize,
    /// Slabs.
    pub slabs: usize,
    /// Allocations that found no block at hand and took the slow path, since the start.
    pub refills: u64,
    /// Blocks freed by other threads than their slab's, since the start, as far as adopted.
    pub remote_frees: u64,
}

#[cfg(feature = "serde")]
fn only_used<S: serde::Serializer>(classes: &[ClassStats; CLASSES], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(classes.iter().filter(|class| class.is_used()))
}

impl Stats {
    /// Calls to the kernel, those of [`map`](crate::map) and of first-class heaps left out.
    #[must_use]
    pub fn calls(&self) -> &[CallStats] {
        &self.calls
    }

    /// The size classes that have slabs, or had some, smallest first.
    pub fn classes(&self) -> impl Iterator<Item = &ClassStats> {
        self.classes.iter().filter(|class| class.is_used())
    }

    /// The same with [`resident`](Self::resident), which is the kernel's answer (`Rss` in
    /// `/proc/self/smaps_rollup`) at this moment: it walks the process's page tables, which takes
    /// some milliseconds a gigabyte.
    #[must_use]
    pub fn with_resident(self) -> Self {
        #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
        let resident = crate::os::resident_bytes();
        #[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
        let resident = None;
        Self { resident, ..self }
    }
}

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
impl Stats {
    /// A snapshot in which nothing is.
    pub(crate) fn nothing() -> Self {
        let call = |name| CallStats { name, made: 0, refused: 0 };
        Self {
            allocated: 0,
            in_flight: 0,
            binned: 0,
            requested: 0,
            requested_total: 0,
            freed_total: 0,
            allocations_total: None,
            frees_total: None,
            large: 0,
            large_count: 0,
            active: 0,
            slabs: 0,
            dirty: 0,
            clean: 0,
            retained: 0,
            metadata: 0,
            mapped: 0,
            committed: 0,
            resident: None,
            purged_total: 0,
            purges_total: 0,
            failures_total: 0,
            copied_total: 0,
            lost_total: 0,
            dear_huge_pages_total: 0,
            calls: ["mmap", "munmap", "mremap", "madvise"].map(call),
            classes: [ClassStats::default(); CLASSES],
        }
    }
}

impl ClassStats {
    const fn is_used(&self) -> bool {
        self.slabs != 0 || self.refills != 0
    }
}
