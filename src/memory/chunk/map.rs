//! Mapping a chunk, and unmapping it.

use core::ptr::NonNull;

use super::{Backing, Blocks, Chunk, ChunkRef, bytes_of, dense};
use crate::base::atomic::{AtomicUsize, Ordering};
use crate::base::config::{CHUNK_BYTES, FEW_CHUNKS, UNIT_BYTES, UNITS};
use crate::memory::advice::advise;
use crate::memory::{aligned, pending};
use crate::os;
use crate::policy::huge;
use crate::policy::limit::COMMITTED;

/// The number of chunks; first-class heaps' do not count.
static CHUNKS: AtomicUsize = AtomicUsize::new(0);

/// Where the last chunk was mapped; zero before the first.
static LAST: AtomicUsize = AtomicUsize::new(0);

/// The number of chunks.
pub(crate) fn count() -> usize {
    CHUNKS.load(Ordering::Relaxed)
}

/// Whether there are so many chunks that the process could run out of mappings if each were one.
/// May ask the kernel for its limit.
pub(crate) fn are_many() -> bool {
    let chunks = count();
    chunks >= FEW_CHUNKS && chunks >= os::most_mappings() / 16
}

impl Chunk {
    /// Maps a chunk with a run of at least `units` free units: a full one, or where that cannot be
    /// had the smallest that has the run. The header and the run count as committed.
    ///
    /// The run is for a slab of `blocks`. `is_filled`: whether there is a chunk at an address that
    /// [is](Self::is_filled).
    pub(crate) fn map(
        units: usize,
        blocks: Blocks,
        is_filled: impl FnOnce(usize) -> bool,
    ) -> Option<ChunkRef> {
        let least = units.wrapping_add(1).wrapping_mul(UNIT_BYTES);
        if !COMMITTED.reserve(least) {
            return None;
        }
        let map = |bytes| aligned::map_below(&LAST, os::map, bytes, CHUNK_BYTES);
        let full = map(CHUNK_BYTES).map(|start| (start, UNITS));
        let mapped = full.or_else(|| Some((map(least)?, units.wrapping_add(1))));
        let Some((start, mapped)) = mapped else {
            COMMITTED.release(least);
            return None;
        };
        let others = CHUNKS.fetch_add(1, Ordering::Relaxed);
        let is_dense = || blocks == Blocks::Short && dense::is_next(others, is_filled);
        // Before the first touch, after which half of the chunk could have no huge page.
        // SAFETY: the memory was just mapped.
        let is_huge = unsafe { advise(start, bytes_of(mapped as u32), huge::of_chunk(is_dense)) };
        if is_huge {
            // SAFETY: a fresh mapping begins there; the header reads as zero.
            huge::is_worth(|| unsafe { start.write_volatile(0) });
        }
        dense::note(start.addr().get());
        // SAFETY: fresh zeroed memory of that many units, aligned.
        let chunk = unsafe { Self::init(start, mapped, 1) };
        chunk.backing.set(if is_huge { Backing::Huge } else { Backing::Plain });
        Some(chunk)
    }

    /// Whether there are chunks on both sides: unmapped, it would make two mappings of one.
    pub(crate) fn is_amid(&self, is_chunk: impl Fn(usize) -> bool) -> bool {
        is_chunk(self.base().wrapping_sub(CHUNK_BYTES)) && is_chunk(self.base().wrapping_add(CHUNK_BYTES))
    }

    /// Unmaps the chunk. False where the kernel refuses; the chunk is then as before.
    ///
    /// # Safety
    /// Every unit is free, and nobody else can find the chunk any more.
    pub(crate) unsafe fn unmap(&self) -> bool {
        let start = NonNull::from(self).cast();
        let committed = bytes_of(self.dirty.get().count_ones().wrapping_add(1));
        // SAFETY: forwarded to the caller.
        let done = unsafe { os::unmap(start, self.mapped_bytes()) }.is_ok();
        if done {
            COMMITTED.release(committed);
            CHUNKS.fetch_sub(1, Ordering::Relaxed);
        }
        done
    }

    /// Unmaps a fresh chunk, now or later. What it committed is the caller's to release.
    ///
    /// # Safety
    /// As for [`unmap`](Self::unmap); the memory is no chunk any more.
    pub(crate) unsafe fn unmap_or_keep(&self) {
        CHUNKS.fetch_sub(1, Ordering::Relaxed);
        // SAFETY: forwarded to the caller.
        unsafe { pending::unmap_or_keep(NonNull::from(self).cast(), self.mapped_bytes()) };
    }
}
