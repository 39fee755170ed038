//! Where memory is: what the allocator knows of itself, counted from its records.
//!
//! One figure costs a fast path an instruction, the bytes asked for: what is live is found in the
//! slabs' own counts, and what is counted one by one is counted on slow paths. For exact counts of
//! calls there is [`Counted`](crate::Counted).

use core::array;

use crate::address::align_up;
use crate::chunk::UnitState;
use crate::config::UNIT_BYTES;
use crate::depot;
use crate::global;
use crate::heap::tally;
use crate::huge;
use crate::large;
use crate::limit::COMMITTED;
use crate::meta;
use crate::size_class::{CLASSES, Class};
use crate::stray;
use crate::sys;
use crate::thread;

mod change;
mod display;
mod heaps;

pub use change::Change;
pub use heaps::{HeapStats, HeapUser, heap_stats};

/// A snapshot of the allocator's books. Taken while other threads allocate, it is a moment's
/// impression, each figure for itself; taken while none does, it is exact. Bytes throughout,
/// unless a field says otherwise; what ends in `_total` counts since the start.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Stats {
    /// Blocks that callers hold or that are on their way back, rounded as they are allocated:
    /// to their size class, or to the OS page for large allocations.
    pub allocated: usize,
    /// Blocks that callers hold, as they asked for them through `GlobalAlloc`. A block that goes
    /// through both doors, in by one and out by the other, makes it inexact.
    pub asked: usize,
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
    /// Free units of chunks without a resident page: purged, or never touched; and what lies between the blocks
    /// of a shared mapping.
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
    /// What the whole process has resident, as the kernel says it (`/proc/self/smaps_rollup`,
    /// `Rss`): stacks, code and files too. None where that cannot be read.
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
    pub stranded_total: u64,
    /// Huge pages that took longer to fault in than the small pages they stand for; after each, none are
    /// asked for during a while ([`HugePages::Adaptive`](crate::HugePages::Adaptive)).
    pub dear_huge_pages_total: u64,
    /// Calls to the kernel, those of [`map`](crate::map) left out.
    pub calls: [CallStats; 4],
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
    /// Blocks that callers hold or that are on their way back.
    pub used: usize,
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
    /// The size classes that have slabs, or had some, smallest first.
    pub fn classes(&self) -> impl Iterator<Item = &ClassStats> {
        self.classes.iter().filter(|class| class.is_used())
    }
}

/// Counts what is allocated, kept and mapped. Walks the records of every slab, and has the kernel
/// count the resident pages: a few dozen microseconds for a small program, some milliseconds a
/// gigabyte. Does not allocate. First-class heaps ([`heaps`](crate::heaps)) count for `resident` only: each has
/// statistics of its own.
#[must_use]
pub fn stats() -> Stats {
    let large = large::survey();
    let mut stats = Stats {
        allocated: large.live_bytes,
        asked: thread::asked_bytes(),
        large: large.live_bytes,
        large_count: large.live,
        active: large.live_bytes,
        slabs: 0,
        dirty: 0,
        clean: large.spare_bytes,
        retained: large.retained_bytes.wrapping_add(stray::bytes()),
        metadata: meta::mapped_bytes().wrapping_add(large.table_bytes),
        mapped: 0,
        committed: COMMITTED.used(),
        resident: sys::resident_bytes(),
        purged_total: depot::purged_bytes(),
        purges_total: depot::purges(),
        failures_total: global::failures(),
        copied_total: large::copied_bytes(),
        stranded_total: stray::stranded_bytes(),
        dear_huge_pages_total: huge::dear_total(),
        calls: calls(),
        classes: classes(),
    };
    depot::survey(|unit| stats.count(unit));
    stats.mapped = [stats.slabs, stats.dirty, stats.clean, stats.large, stats.retained, stats.metadata]
        .into_iter()
        .fold(0, usize::wrapping_add);
    stats
}

fn calls() -> [CallStats; 4] {
    use sys::count::{Calls, MADVISE, MMAP, MREMAP, MUNMAP};
    let of = |name, calls: &Calls| CallStats { name, made: calls.made(), refused: calls.refused() };
    [of("mmap", &MMAP), of("munmap", &MUNMAP), of("mremap", &MREMAP), of("madvise", &MADVISE)]
}

/// Every class with what heaps count of it.
fn classes() -> [ClassStats; CLASSES] {
    let mut classes = array::from_fn(|index| ClassStats {
        block: Class::at(index).map_or(0, |class| class.shape().block as usize),
        ..ClassStats::default()
    });
    for heap in tally::heaps() {
        for (class, counted) in classes.iter_mut().zip(heap.tally.classes()) {
            class.refills = class.refills.wrapping_add(counted.refills());
            class.remote_frees = class.remote_frees.wrapping_add(counted.remote());
        }
    }
    classes
}

impl Stats {
    fn count(&mut self, unit: UnitState) {
        match unit {
            UnitState::Header => self.metadata = self.metadata.wrapping_add(UNIT_BYTES),
            UnitState::Dirty => self.dirty = self.dirty.wrapping_add(UNIT_BYTES),
            UnitState::Clean => self.clean = self.clean.wrapping_add(UNIT_BYTES),
            // Inside a slab whose first unit was counted, or between owners.
            UnitState::Taken => self.slabs = self.slabs.wrapping_add(UNIT_BYTES),
            UnitState::Slab(slab) => {
                let used = slab.used() as usize;
                self.slabs = self.slabs.wrapping_add(UNIT_BYTES);
                self.active = self.active.wrapping_add(align_up(slab.carved_bytes(), sys::page_bytes()));
                self.allocated = self.allocated.wrapping_add(used.wrapping_mul(slab.block_bytes()));
                if let Some(books) = self.classes.get_mut(slab.class().index()) {
                    books.used = books.used.wrapping_add(used);
                    books.capacity = books.capacity.wrapping_add(slab.class().shape().capacity as usize);
                    books.slabs = books.slabs.wrapping_add(1);
                }
            }
        }
    }
}

impl ClassStats {
    const fn is_used(&self) -> bool {
        self.slabs != 0 || self.refills != 0
    }
}
