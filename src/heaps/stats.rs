//! [`HeapStats`]: what a heap holds, counted on request.

use super::backing::Backing;
use super::engine::Engine;
use super::table::Use;
use crate::base::config::{CHUNK_BYTES, UNIT_BYTES};

/// What a heap holds, as [`Heap::stats`](super::Heap::stats) counts it. Bytes, unless said
/// otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeapStats {
    /// The most that chunks of slabs and blocks above 1 MiB may take together.
    pub limit: usize,
    /// Bytes that they take now.
    pub taken: usize,
    /// Bytes of blocks in use, rounded up to their size classes.
    pub live: usize,
    /// Number of blocks in use.
    pub live_blocks: usize,
    /// Bytes of blocks up to 1 MiB that were freed since the last sync, and are handed out again
    /// only after the next. Only file heaps have some.
    pub deferred: usize,
    /// Bytes that purges ever gave back to the kernel.
    pub purged: u64,
    /// Number of times that a process died while it held the lock, and the next holder recovered.
    pub recoveries: u64,
}

impl Engine {
    /// Counts.
    pub(super) fn survey<B: Backing>(&'static self) -> HeapStats {
        let geometry = self.geometry.get();
        let mut stats = HeapStats {
            limit: geometry.limit,
            purged: self.purged_bytes.get(),
            recoveries: self.recoveries.get(),
            ..HeapStats::default()
        };
        for (index, what) in self.in_force().walk(self.top()) {
            match what {
                Use::Free { .. } => {}
                Use::Span { units } => {
                    let bytes = units.saturating_mul(UNIT_BYTES);
                    stats.taken = stats.taken.saturating_add(bytes);
                    stats.live = stats.live.saturating_add(bytes);
                    stats.live_blocks = stats.live_blocks.saturating_add(1);
                }
                Use::Slabs { .. } => {
                    stats.taken = stats.taken.saturating_add(geometry.bytes_from(index).min(CHUNK_BYTES));
                    if B::HAS_BITMAPS {
                        self.survey_bitmaps(index, &mut stats);
                    } else {
                        self.survey_slabs(index, &mut stats);
                    }
                }
            }
        }
        stats
    }

    fn survey_bitmaps(&'static self, index: usize, stats: &mut HeapStats) {
        let (in_force, synced) = (self.bitmaps(index).in_force(), self.synced_bitmap(index));
        for (unit, class) in in_force.slabs() {
            let (block, used) = (class.shape().block as usize, in_force.used(unit));
            stats.live_blocks = stats.live_blocks.saturating_add(used);
            stats.live = stats.live.saturating_add(used.saturating_mul(block));
            let deferred = synced.map_or(0, |synced| in_force.freed_since(synced, unit));
            stats.deferred = stats.deferred.saturating_add(deferred.saturating_mul(block));
        }
    }

    fn survey_slabs(&'static self, index: usize, stats: &mut HeapStats) {
        // SAFETY: the table says that it is a chunk.
        let chunk = unsafe { crate::memory::chunk::Chunk::at(self.area_address(index)) };
        chunk.survey(|unit| {
            if let crate::memory::chunk::UnitState::Slab(slab) = unit {
                let used = slab.used() as usize;
                stats.live_blocks = stats.live_blocks.saturating_add(used);
                stats.live = stats.live.saturating_add(used.saturating_mul(slab.block_bytes()));
            }
        });
    }
}
