//! Where a heap's memory is.

use super::backing::Backing;
use super::engine::Engine;
use super::table::Use;
use crate::base::config::{CHUNK_BYTES, UNIT_BYTES};

/// What a heap holds. All in bytes, unless said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeapStats {
    /// What chunks and long blocks may take together.
    pub limit: usize,
    /// What they take now.
    pub taken: usize,
    /// Of blocks in use, rounded to their size classes.
    pub live: usize,
    /// How many blocks are in use.
    pub live_blocks: usize,
    /// Of blocks freed since the last sync, which wait for the next (file heaps).
    pub waiting: usize,
    /// Given back to the kernel by purges, all told.
    pub purged: u64,
    /// How often a process died inside the heap, and its half-done step was undone or finished.
    pub recoveries: u64,
}

impl Engine {
    pub(super) fn survey<B: Backing>(&'static self) -> HeapStats {
        let geometry = self.geometry.get();
        let mut stats = HeapStats {
            limit: geometry.limit,
            purged: self.purged_bytes.get(),
            recoveries: self.recoveries.get(),
            ..HeapStats::default()
        };
        for (index, what) in self.now().walk(self.top()) {
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
                    if B::BOOKED {
                        self.survey_booked(index, &mut stats);
                    } else {
                        self.survey_plain(index, &mut stats);
                    }
                }
            }
        }
        stats
    }

    fn survey_booked(&'static self, index: usize, stats: &mut HeapStats) {
        let (now, then) = (self.books(index).now(), self.page_then(index));
        for (unit, class) in now.slabs() {
            let (block, used) = (class.shape().block as usize, now.used(unit));
            stats.live_blocks = stats.live_blocks.saturating_add(used);
            stats.live = stats.live.saturating_add(used.saturating_mul(block));
            let waiting = then.map_or(0, |then| now.freed_since(then, unit));
            stats.waiting = stats.waiting.saturating_add(waiting.saturating_mul(block));
        }
    }

    fn survey_plain(&'static self, index: usize, stats: &mut HeapStats) {
        // SAFETY: the table says that it is a chunk.
        let chunk = unsafe { crate::memory::chunk::Chunk::at(self.chunk_address(index)) };
        chunk.survey(|unit| {
            if let crate::memory::chunk::UnitState::Slab(slab) = unit {
                let used = slab.used() as usize;
                stats.live_blocks = stats.live_blocks.saturating_add(used);
                stats.live = stats.live.saturating_add(used.saturating_mul(slab.block_bytes()));
            }
        });
    }
}
