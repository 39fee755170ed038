//! The same by heap: whose memory it is.

use core::ptr;

use crate::chunk::UnitState;
use crate::config::UNIT_BYTES;
use crate::depot;
use crate::heap::tally;

/// Who uses a heap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum HeapUser {
    /// The thread with this number (gettid(2)).
    Thread(u32),
    /// Nobody: its thread has ended, and it waits for the next.
    #[default]
    Nobody,
    /// All: the slabs of threads that have ended, and the blocks of threads that have no heap.
    Shared,
}

/// The books of one heap. Bytes are rounded as allocated.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct HeapStats {
    /// Where the heap's record is: its name for as long as the process lives.
    pub address: usize,
    /// Who uses it.
    pub user: HeapUser,
    /// Bytes of blocks in its slabs that callers hold, whichever thread has allocated or will free them, and of
    /// those that other threads have freed and hold back: each of them at most 64 blocks or 8 KiB of a slab.
    pub allocated: usize,
    /// How many blocks those are.
    pub blocks: usize,
    /// Address space of its slabs.
    pub slabs: usize,
    /// Allocations that found no block at hand, since the heap was made.
    pub refills: u64,
    /// Blocks that other threads have freed, since the heap was made, as far as adopted.
    pub remote_frees: u64,
}

/// Writes the books of every heap into `into`, the shared heap first, and says how many there are:
/// more than were written, if `into` is too short. Large allocations are in no heap. Walks the
/// records of every slab, and does not allocate.
pub fn heap_stats(into: &mut [HeapStats]) -> usize {
    let mut count = 0_usize;
    let mut places = into.iter_mut();
    for heap in tally::heaps() {
        if let Some(place) = places.next() {
            let sum = |what: fn(&tally::ClassTally) -> u64| {
                heap.tally.classes().iter().map(what).fold(0, u64::wrapping_add)
            };
            *place = HeapStats {
                address: ptr::from_ref(heap).addr(),
                user: match heap.tally.thread() {
                    _ if count == 0 => HeapUser::Shared,
                    0 => HeapUser::Nobody,
                    thread => HeapUser::Thread(thread),
                },
                refills: sum(tally::ClassTally::refills),
                remote_frees: sum(tally::ClassTally::remote),
                ..HeapStats::default()
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
    count
}
