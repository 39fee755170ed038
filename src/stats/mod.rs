//! Where memory is: what the allocator knows of itself, counted from its records.
//!
//! One figure costs a fast path an instruction, the bytes asked for: what is live is found in the
//! slabs' own counts, and what is counted one by one is counted on slow paths. Heaps count their full slabs, so
//! only slabs with room are looked at. For exact counts of calls there is [`Counted`](crate::Counted).

use core::array;

use crate::address::align_up;
use crate::chunk::Chunk;
use crate::config::UNIT_BYTES;
use crate::depot;
use crate::global;
use crate::heap::tally;
use crate::huge;
use crate::large;
use crate::limit::COMMITTED;
use crate::meta;
use crate::size_class::{CLASSES, Class};
use crate::slab::Slab;
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
    /// Blocks that callers hold, rounded as they are allocated: to their size class, or to the OS page
    /// for large allocations.
    pub allocated: usize,
    /// Blocks freed by other threads than their slab's, which it has not taken back yet: its thread does at its next
    /// slow path. Of each slab, a thread that frees holds back at most 64 blocks or 8 KiB.
    pub in_flight: usize,
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
    /// Free units of chunks without a resident page: purged, or never touched.
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
    /// Blocks that callers hold.
    pub used: usize,
    /// Blocks freed by other threads than their slab's, which it has not taken back yet.
    pub in_flight: usize,
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

    /// The same with [`resident`](Self::resident), which is the kernel's answer (`Rss` in
    /// `/proc/self/smaps_rollup`) at this moment: it walks the process's page tables, which takes
    /// some milliseconds a gigabyte.
    #[must_use]
    pub fn with_resident(self) -> Self {
        Self { resident: sys::resident_bytes(), ..self }
    }
}

/// Counts what is allocated, kept and mapped: microseconds for a small program. Makes no system call and does
/// not allocate. Looks at each chunk of 4 MiB, at each slab that has room, and at each heap's counts; full slabs
/// cost nothing. First-class heaps ([`heaps`](crate::heaps)) count for `resident` only: each has
/// statistics of its own.
#[must_use]
pub fn stats() -> Stats {
    let large = large::survey();
    let (classes, full_bytes) = classes();
    let mut stats = Stats {
        allocated: large.live_bytes,
        in_flight: 0,
        asked: thread::asked_bytes(),
        large: large.live_bytes,
        large_count: large.live,
        active: large.live_bytes.wrapping_add(full_bytes),
        slabs: 0,
        dirty: 0,
        clean: 0,
        retained: large.retained_bytes.wrapping_add(stray::bytes()),
        metadata: meta::mapped_bytes().wrapping_add(large.table_bytes),
        mapped: 0,
        committed: COMMITTED.used(),
        resident: None,
        purged_total: depot::purged_bytes(),
        purges_total: depot::purges(),
        failures_total: global::failures(),
        copied_total: large::copied_bytes(),
        stranded_total: stray::stranded_bytes(),
        dear_huge_pages_total: huge::dear_total(),
        calls: calls(),
        classes,
    };
    depot::each_chunk(|chunk| stats.count_chunk(chunk));
    stats.sum_classes();
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

/// Every class with what heaps count of it, full slabs included, and the OS pages of those.
fn classes() -> ([ClassStats; CLASSES], usize) {
    let in_flight = tally::in_flight();
    let mut classes: [ClassStats; CLASSES] = array::from_fn(|index| ClassStats {
        block: Class::at(index).map_or(0, |class| class.shape().block as usize),
        in_flight: in_flight.get(index).map_or(0, |blocks| *blocks as usize),
        ..ClassStats::default()
    });
    for heap in tally::heaps() {
        for (class, counted) in classes.iter_mut().zip(heap.tally.classes()) {
            class.refills = class.refills.wrapping_add(counted.refills());
            class.remote_frees = class.remote_frees.wrapping_add(counted.remote());
            class.slabs = class.slabs.wrapping_add(counted.full() as usize);
        }
    }
    let mut full_bytes = 0_usize;
    for (index, class) in classes.iter_mut().enumerate() {
        let capacity = Class::at(index).map_or(0, |class| class.shape().capacity as usize);
        class.capacity = class.slabs.wrapping_mul(capacity);
        class.used = class.capacity;
        let pages = align_up(capacity.wrapping_mul(class.block), sys::page_bytes());
        full_bytes = full_bytes.wrapping_add(class.slabs.wrapping_mul(pages));
    }
    (classes, full_bytes)
}

impl Stats {
    /// Adds a chunk: its units, and its slabs that have room.
    fn count_chunk(&mut self, chunk: &'static Chunk) {
        let parts = chunk.parts(|slab| self.count_slab(slab));
        let bytes = |units: u32| (units as usize).wrapping_mul(UNIT_BYTES);
        let free = parts.clean.wrapping_add(parts.dirty);
        self.metadata = self.metadata.wrapping_add(UNIT_BYTES);
        self.clean = self.clean.wrapping_add(bytes(parts.clean));
        self.dirty = self.dirty.wrapping_add(bytes(parts.dirty));
        self.slabs = self.slabs.wrapping_add(bytes(parts.mapped.wrapping_sub(1).wrapping_sub(free)));
    }

    fn count_slab(&mut self, slab: &Slab) {
        self.active = self.active.wrapping_add(align_up(slab.carved_bytes(), sys::page_bytes()));
        if let Some(books) = self.classes.get_mut(slab.class().index()) {
            books.used = books.used.wrapping_add(slab.used() as usize);
            books.capacity = books.capacity.wrapping_add(slab.capacity());
            books.slabs = books.slabs.wrapping_add(1);
        }
    }

    /// Takes blocks in flight from those used, and adds up what callers hold.
    fn sum_classes(&mut self) {
        for class in &mut self.classes {
            class.used = class.used.saturating_sub(class.in_flight);
            self.allocated = self.allocated.wrapping_add(class.used.wrapping_mul(class.block));
            self.in_flight = self.in_flight.wrapping_add(class.in_flight.wrapping_mul(class.block));
        }
    }
}

impl ClassStats {
    const fn is_used(&self) -> bool {
        self.slabs != 0 || self.refills != 0
    }
}
