//! Pinned chunks: a helper has taken a slab from a heap whose thread may be about to read its
//! record.
//!
//! A chunk is pinned under the depot's lock. All pins end when the last heap on whose account there
//! are any has taken a slow path.

use super::DEPOT;
use crate::base::atomic::{AtomicUsize, Ordering};
use crate::memory::chunk::{Chunk, ChunkRef, index};
use crate::os;

/// Heaps on whose account chunks are pinned.
static ROBBED_HEAPS: AtomicUsize = AtomicUsize::new(0);

/// Keeps a chunk mapped, of which a slab is about to be released, until [`unpin`] was called for
/// the heap that had the slab. `is_first`: none was pinned on that heap's account.
pub(crate) fn pin(chunk: ChunkRef, is_first: bool) {
    let _depot = DEPOT.lock();
    chunk.pinned.set(true);
    ROBBED_HEAPS.fetch_add(usize::from(is_first), Ordering::Relaxed);
}

/// Ends the pins on one heap's account. When it was the last, every chunk may be unmapped again.
pub(crate) fn unpin() {
    let mut depot = DEPOT.lock();
    if ROBBED_HEAPS.fetch_sub(1, Ordering::Relaxed) != 1 {
        return;
    }
    let now_ms = os::now_ms();
    for base in index::bases() {
        // SAFETY: the index loses a chunk under this lock before the chunk is unmapped.
        let chunk = unsafe { Chunk::at(base) };
        if chunk.pinned.replace(false) {
            depot.plan(chunk, now_ms);
        }
    }
}

/// Whether no thread may be about to read a record of the chunk, none of whose slabs is in use.
/// Under the lock.
pub(super) fn may_unmap(chunk: &Chunk) -> bool {
    !chunk.pinned.get() || ROBBED_HEAPS.load(Ordering::Relaxed) == 0
}

/// Ends every pin, in a child: the calling thread is the only one, and reads no record now.
pub(super) fn forget() {
    ROBBED_HEAPS.store(0, Ordering::Relaxed);
}
