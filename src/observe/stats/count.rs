//! Counting: what heaps, chunks and the registry say, put together.

use core::array;
use core::ptr;

use crate::base::address::align_up;
use crate::base::config::UNIT_BYTES;
use crate::block::size_class::{CLASSES, Class};
use crate::heap::tally;
use crate::heap::thread;
use crate::memory::chunk::{Chunk, UnitState};
use crate::memory::depot;
use crate::memory::large;
use crate::memory::pending;
use crate::memory::records;
use crate::memory::slab::Slab;
use crate::os;
use crate::policy::huge;
use crate::policy::limit::{self, COMMITTED};

use super::{CallStats, ClassStats, HeapUser, Stats, ThreadStats};

/// Counts what is allocated, kept and mapped: microseconds for a small program. Makes no system
/// call and does not allocate. Looks at each chunk of 4 MiB, at each slab that has room, and at
/// each heap's counts; full slabs cost nothing. First-class heaps ([`heaps`](crate::heaps)) count
/// for `resident` only: each has statistics of its own.
#[must_use]
pub fn stats() -> Stats {
    let large = large::survey();
    let requested = thread::requested();
    let (classes, full_bytes) = classes();
    let mut stats = Stats {
        allocated: large.live_bytes,
        in_flight: 0,
        binned: 0,
        requested: requested.live(),
        requested_total: requested.allocated as u64,
        freed_total: requested.freed as u64,
        allocations_total: requested.allocations(),
        frees_total: None,
        large: large.live_bytes,
        large_count: large.live,
        active: large.live_bytes.wrapping_add(full_bytes),
        slabs: 0,
        dirty: 0,
        clean: large.spare_bytes,
        retained: large.retained_bytes.wrapping_add(pending::bytes()),
        metadata: records::mapped_bytes().wrapping_add(large.table_bytes),
        mapped: 0,
        committed: COMMITTED.used(),
        resident: None,
        purged_total: depot::purged_bytes(),
        purges_total: depot::purges(),
        failures_total: limit::failures(),
        copied_total: large::copied_bytes(),
        lost_total: pending::lost_bytes(),
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
    use os::count::{Calls, MADVISE, MMAP, MREMAP, MUNMAP};
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
        for (class, blocks) in classes.iter_mut().zip(heap.binned()) {
            class.binned = class.binned.wrapping_add(blocks);
        }
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
        let pages = align_up(capacity.wrapping_mul(class.block), os::page_bytes());
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
        self.active = self.active.wrapping_add(align_up(slab.carved_bytes(), os::page_bytes()));
        if let Some(books) = self.classes.get_mut(slab.class().index()) {
            books.used = books.used.wrapping_add(slab.used() as usize);
            books.capacity = books.capacity.wrapping_add(slab.capacity());
            books.slabs = books.slabs.wrapping_add(1);
        }
    }

    /// Takes blocks in flight and in bins from those used, and adds up what callers hold.
    fn sum_classes(&mut self) {
        let mut live = self.large_count;
        for class in &mut self.classes {
            class.used = class.used.saturating_sub(class.in_flight).saturating_sub(class.binned);
            live = live.wrapping_add(class.used);
            self.allocated = self.allocated.wrapping_add(class.used.wrapping_mul(class.block));
            self.binned = self.binned.wrapping_add(class.binned.wrapping_mul(class.block));
            self.in_flight = self.in_flight.wrapping_add(class.in_flight.wrapping_mul(class.block));
        }
        self.frees_total = self.allocations_total.map(|all| all.saturating_sub(live as u64));
    }
}

/// Writes the books of every heap into `into`, the shared heap first, and says how many there are:
/// more than were written, if `into` is too short. Large allocations are in no heap. Walks the
/// records of every slab, and does not allocate.
pub fn heap_stats(into: &mut [ThreadStats]) -> usize {
    let mut count = 0_usize;
    let mut entries = into.iter_mut();
    for heap in tally::heaps() {
        if let Some(entry) = entries.next() {
            let sum = |what: fn(&tally::ClassTally) -> u64| {
                heap.tally.classes().iter().map(what).fold(0, u64::wrapping_add)
            };
            *entry = ThreadStats {
                address: ptr::from_ref(heap).addr(),
                user: match heap.tally.thread() {
                    _ if count == 0 => HeapUser::Shared,
                    0 => HeapUser::Nobody,
                    thread => HeapUser::Thread(thread),
                },
                refills: sum(tally::ClassTally::refills),
                remote_frees: sum(tally::ClassTally::remote),
                ..ThreadStats::default()
            };
        }
        count = count.wrapping_add(1);
    }
    let written = into.get_mut(..count.min(into.len())).unwrap_or_default();
    // A heap's slabs are often neighbours: the search begins where the last one ended.
    let mut last = 0;
    let mut count_slab = |unit| {
        let UnitState::Slab(slab) = unit else { return };
        // The inbox comes first in a heap.
        let home = slab.home().addr();
        if written.get(last).is_none_or(|heap| heap.address != home) {
            let Some(found) = written.iter().position(|heap| heap.address == home) else { return };
            last = found;
        }
        let Some(heap) = written.get_mut(last) else { return };
        let held = slab.held() as usize;
        heap.blocks = heap.blocks.wrapping_add(held);
        heap.allocated = heap.allocated.wrapping_add(held.wrapping_mul(slab.block_bytes()));
        heap.slabs = heap.slabs.wrapping_add(slab.units().wrapping_mul(UNIT_BYTES));
    };
    depot::each_chunk(|chunk| chunk.survey(&mut count_slab));
    // For its slabs a block in a bin is a used one.
    for heap in tally::heaps() {
        let address = ptr::from_ref(heap).addr();
        let Some(counted) = written.iter_mut().find(|counted| counted.address == address) else { continue };
        for (class, blocks) in heap.binned().enumerate() {
            let block = Class::at(class).map_or(0, |class| class.shape().block as usize);
            counted.blocks = counted.blocks.saturating_sub(blocks);
            counted.allocated = counted.allocated.saturating_sub(blocks.wrapping_mul(block));
        }
    }
    count
}
