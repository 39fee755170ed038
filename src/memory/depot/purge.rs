//! Purging: giving free units' pages back to the kernel, and unmapping unused chunks.
//!
//! A *purge tick* is a pass over the chunks of the queue that are due. It makes a chunk's dirty
//! units stale, and purges those that were stale before. Slow paths make the ticks, each bounded in
//! bytes; with the `background-purge` feature a thread does. Memory that is likely to be needed
//! again is kept.
//!
//! State: counters, in atomic words.

use super::pins::may_unmap;
use super::{DEPOT, Depot, NEXT_DUE_MS, RUNS_OUT};
use crate::base::atomic::{AtomicU64, Ordering};
use crate::base::config::{PURGE_STEP_BYTES, UNIT_BYTES, UNITS};
use crate::memory::chunk::{self, Chunk, ChunkRef, State, index};
use crate::memory::pending;
use crate::memory::slab::Slab;
use crate::os;
use crate::os::lock::Guard;
use crate::policy::options;

/// Pending ranges of each kind that one purge tick tries to unmap: more would make one slow path
/// slow.
const PENDING_A_TICK: usize = 16;

/// Bytes that purges have given back, since the start.
static PURGED_BYTES: AtomicU64 = AtomicU64::new(0);

/// Runs of pages that purges have given back, since the start.
static PURGES: AtomicU64 = AtomicU64::new(0);

/// See [`purge_ticks`].
static PURGE_TICKS: AtomicU64 = AtomicU64::new(0);

/// Bytes that purges have given back, since the start.
pub(crate) fn purged_bytes() -> u64 {
    PURGED_BYTES.load(Ordering::Relaxed)
}

/// Runs of pages that purges have given back, since the start.
pub(crate) fn purges() -> u64 {
    PURGES.load(Ordering::Relaxed)
}

/// The number of purge ticks that concern heaps, at most one a delay. A heap that finds it changed
/// gives back what it only keeps.
#[inline]
pub(crate) fn purge_ticks() -> u64 {
    PURGE_TICKS.load(Ordering::Relaxed)
}

/// Makes a purge tick if one is due, up to the bytes that one slow path may.
#[inline]
pub(crate) fn purge_due() {
    #[cfg(feature = "background-purge")]
    if crate::memory::waiting::is_running() {
        return;
    }
    let due_ms = NEXT_DUE_MS.load(Ordering::Relaxed);
    if due_ms != u64::MAX {
        let now_ms = os::now_ms();
        if due_ms <= now_ms {
            purge_tick(now_ms, PURGE_STEP_BYTES);
        }
    }
}

/// When the first chunk is due; `u64::MAX` where the queue is empty.
#[cfg(feature = "background-purge")]
pub(crate) fn next_due_ms() -> u64 {
    NEXT_DUE_MS.load(Ordering::Relaxed)
}

/// Makes a purge tick if one is due, of at most `most_bytes`.
#[cfg(feature = "background-purge")]
pub(crate) fn purge(now_ms: u64, most_bytes: usize) {
    if next_due_ms() <= now_ms {
        purge_tick(now_ms, most_bytes);
    }
}

/// Purges every free unit now, and unmaps chunks that hold nothing.
pub(crate) fn purge_all() {
    PURGE_TICKS.fetch_add(1, Ordering::Relaxed);
    pending::retry(PENDING_A_TICK);
    purge_oldest(usize::MAX);
    DEPOT.lock().demand.forget();
}

/// Purges every free unit now, as [`purge_all`], and remembers what was needed. Returns about how
/// many bytes went back.
pub(crate) fn purge_dirty() -> usize {
    purge_oldest(usize::MAX)
}

/// Gives back the pages inside free blocks of `slab`, which the caller owns. Its units stay its
/// own, and committed: the blocks may be used again at any moment. Returns the bytes given back.
pub(crate) fn purge_inside(slab: &'static Slab) -> usize {
    let chunk = chunk::chunk_of(slab);
    let may_be_huge = {
        let mut depot = DEPOT.lock();
        let must_advise = depot.change(chunk, Chunk::stop_huge);
        depot.plan(chunk, os::now_ms());
        let may_be_huge = chunk.may_be_huge();
        drop(depot);
        if must_advise {
            chunk.advise_small();
        }
        may_be_huge
    };
    let mut purged = 0_usize;
    slab.purge_inside(|start, bytes| {
        // SAFETY: the range lies in a free block of the caller's slab. Refused, its pages may be
        // half given back; the block may hold anything.
        let done = unsafe { chunk::give_back(start, bytes, may_be_huge) }.is_ok();
        if done {
            purged = purged.wrapping_add(bytes);
            PURGES.fetch_add(1, Ordering::Relaxed);
        }
        done
    });
    PURGED_BYTES.fetch_add(purged as u64, Ordering::Relaxed);
    purged
}

/// Visits each chunk that is due, once, until `most_bytes` were purged.
#[cold]
fn purge_tick(now_ms: u64, most_bytes: usize) {
    pending::retry(PENDING_A_TICK);
    let mut depot = DEPOT.lock();
    depot.note_tick(now_ms);
    let planned = depot.planned;
    drop(depot);
    let mut left = most_bytes;
    let are_many = chunk::are_many();
    for _ in 0..planned {
        let mut depot = DEPOT.lock();
        let Some(chunk) = depot.pop_due(now_ms) else { return };
        left = left.saturating_sub(purge_idle(depot, chunk, left, are_many));
        if left < UNIT_BYTES {
            return;
        }
    }
}

/// Purges `bytes` of the chunks that are due first, whether they are due yet or not. Returns about
/// how many went back.
#[cold]
pub(super) fn purge_oldest(bytes: usize) -> usize {
    let are_many = chunk::are_many();
    let planned = DEPOT.lock().planned;
    let mut left = bytes;
    for _ in 0..planned {
        let mut depot = DEPOT.lock();
        let Some(chunk) = depot.pop_due(u64::MAX) else { break };
        chunk.age();
        left = left.saturating_sub(purge_stale(depot, chunk, left, are_many));
        if left < UNIT_BYTES {
            break;
        }
    }
    bytes.wrapping_sub(left)
}

/// As [`purge_stale`], of memory that is not likely to be needed again.
fn purge_idle(mut depot: Guard<'static, Depot>, chunk: ChunkRef, most_bytes: usize, are_many: bool) -> usize {
    let most_bytes = most_bytes.min(depot.idle_bytes());
    if most_bytes == 0 && chunk.is_dirty() {
        chunk.age();
        depot.plan(chunk, os::now_ms());
        return 0;
    }
    purge_stale(depot, chunk, most_bytes, are_many)
}

/// Purges stale units of a chunk taken from the queue, at most `most_bytes`, and unmaps it if it
/// has nothing else; else queues it again. Returns the bytes given back.
///
/// The lock is held from the queue on: a chunk that is neither queued nor has a unit out could be
/// unmapped by another thread.
fn purge_stale(
    mut depot: Guard<'static, Depot>,
    chunk: ChunkRef,
    most_bytes: usize,
    are_many: bool,
) -> usize {
    if chunk.is_idle()
        && chunk.dirty_bytes() <= most_bytes
        && may_unmap(chunk)
        // Of many chunks, those between two others stay mapped.
        && !(are_many && chunk.is_amid(index::contains))
    {
        let bytes = chunk.dirty_bytes();
        depot.unlist(chunk);
        depot.demand.gave_back(bytes);
        index::remove(chunk.base());
        drop(depot);
        unmap(chunk);
        // The call to the kernel counts as a unit.
        return bytes.saturating_add(UNIT_BYTES);
    }
    let mut purged = 0_usize;
    let mut must_advise = chunk.is_stale() && depot.change(chunk, Chunk::stop_huge);
    loop {
        let most_units = (most_bytes.saturating_sub(purged) / UNIT_BYTES).min(UNITS);
        let Some(run) = depot.change(chunk, |chunk| chunk.take_stale(most_units)) else { break };
        chunk.begin_purge(run.units);
        RUNS_OUT.fetch_add(1, Ordering::Relaxed);
        // While its units are out, the chunk is not unused and stays mapped without the lock.
        drop(depot);
        if core::mem::take(&mut must_advise) {
            chunk.advise_small();
        }
        let state = run.purge();
        purged = purged.saturating_add(run.bytes);
        PURGED_BYTES.fetch_add(run.bytes as u64, Ordering::Relaxed);
        PURGES.fetch_add(1, Ordering::Relaxed);
        depot = DEPOT.lock();
        depot.change(chunk, |chunk| chunk.put_units(run.units, state));
        chunk.end_purge(run.units);
        RUNS_OUT.fetch_sub(1, Ordering::Relaxed);
        run.count_purged(state);
        if state == State::Clean {
            depot.demand.gave_back(run.bytes);
        }
    }
    if chunk.is_stale() && depot.idle_bytes() != 0 && !chunk.planned.get() {
        depot.plan_first(chunk);
    } else {
        chunk.age();
        depot.plan(chunk, os::now_ms());
    }
    purged
}

/// Unmaps a chunk that is on no list and not in the index, or takes it back where the kernel
/// refuses.
fn unmap(chunk: ChunkRef) {
    // SAFETY: no unit is in a slab, and nobody can find the chunk.
    if unsafe { chunk.unmap() } {
        return;
    }
    // ENOMEM: unmapping would split a mapping at the map-count limit. The range stays the
    // allocator's, without its pages, and the next tick tries again.
    // SAFETY: as above.
    unsafe { chunk.purge() };
    if index::insert(chunk.base(), chunk.mapped_units()) {
        let mut depot = DEPOT.lock();
        depot.list(chunk);
        depot.plan(chunk, os::now_ms());
    }
}

impl Depot {
    /// Notes the time of a purge tick. Once a delay, heaps see that by [`purge_ticks`].
    fn note_tick(&mut self, now_ms: u64) {
        let delay_ms = options::get().purge_delay_ms;
        self.demand.tick(self.dirty_bytes, now_ms, delay_ms);
        if now_ms >= self.ticked_ms.saturating_add(delay_ms) {
            self.ticked_ms = now_ms;
            PURGE_TICKS.fetch_add(1, Ordering::Relaxed);
        }
    }
}
