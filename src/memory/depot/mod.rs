//! The depot: the chunks that threads share, and purging their free units.
//!
//! | file | what |
//! | --- | --- |
//! | `mod` | the lists of chunks; units for slabs, and their way back |
//! | `queue` | the chunks with something to purge, in the order in which they are due |
//! | `purge` | purge ticks: giving units' pages back, and unmapping chunks |
//! | `growth` | whether so much was taken that sleeping heaps are to be helped |
//! | `pins` | chunks that stay mapped since a thread may be about to read a record |
//!
//! State: [`Depot`] under one lock, under which only the locks of `pending` and `records` are
//! taken; heaps' locks are taken before it. Hints and counters are atomic words.
//!
//! No memory is mapped, advised or given back under the lock. A chunk is off its list while it is
//! mapped or unmapped, and units are out of their chunk while they are purged.

use core::ptr;

use crate::base::address::align_down;
use crate::base::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::base::config::{CHUNK_BYTES, DIRTY_BYTES, PURGE_STEP_BYTES, UNIT_BYTES};
use crate::block::size_class::Class;
use crate::memory::chunk::by_run::ByRun;
use crate::memory::chunk::{self, Blocks, Chunk, ChunkRef, index};
use crate::memory::demand::Demand;
use crate::memory::slab::Slab;
use crate::os;
use crate::os::lock::Lock;
use crate::policy::limit::COMMITTED;
use crate::policy::options;

mod growth;
mod pins;
mod purge;
mod queue;

pub(crate) use growth::{has_grown, note_help};
pub(crate) use pins::{pin, unpin};
#[cfg(feature = "background-purge")]
pub(crate) use purge::{next_due_ms, purge};
pub(crate) use purge::{purge_all, purge_dirty, purge_due, purge_inside, purge_ticks, purged_bytes, purges};

/// Lists of chunks, and the purge queue.
struct Depot {
    /// Chunks with free units, but those of `short`.
    chunks: ByRun,
    /// Chunks with free units that have huge pages because short blocks fill them.
    short: ByRun,
    /// The purge queue: chunks in the order in which their purge ticks are due.
    due_first: *const Chunk,
    due_last: *const Chunk,
    /// Length of the purge queue.
    planned: usize,
    /// Bytes of all listed chunks' free units that may be resident.
    dirty_bytes: usize,
    /// How much of that is likely to be needed again.
    demand: Demand,
    /// When heaps were last told of a purge tick.
    ticked_ms: u64,
}

// SAFETY: the chunks that the pointers lead to are touched under the same lock.
unsafe impl Send for Depot {}

static DEPOT: Lock<Depot> = Lock::new(Depot::new());

/// When the first chunk of the queue is due; `u64::MAX` where the queue is empty. A hint that is
/// read without the lock.
static NEXT_DUE_MS: AtomicU64 = AtomicU64::new(u64::MAX);

/// Runs of units that purges have taken out and not brought back.
static RUNS_OUT: AtomicUsize = AtomicUsize::new(0);

/// Lists every chunk anew, if another thread of the parent was changing the lists or had runs out
/// for a purge. For a child.
///
/// # Safety
/// As for [`Lock::mend`].
pub(crate) unsafe fn mend() {
    let list_all = |depot: &mut Depot| {
        *depot = Depot::new();
        NEXT_DUE_MS.store(u64::MAX, Ordering::Relaxed);
        let now_ms = os::now_ms();
        for base in index::bases() {
            // SAFETY: the index has a chunk from after it was mapped until before it is unmapped.
            let chunk = unsafe { Chunk::at(base) };
            chunk.mend();
            depot.list(chunk);
            depot.plan(chunk, now_ms);
        }
    };
    let has_runs_out = RUNS_OUT.load(Ordering::Relaxed) != 0;
    // SAFETY: forwarded to the caller.
    unsafe { if has_runs_out { DEPOT.mend_anyway(list_all) } else { DEPOT.mend(list_all) } }
    RUNS_OUT.store(0, Ordering::Relaxed);
    pins::forget();
}

/// As [`acquire`], of units that are all resident, as far as they are easily found.
pub(crate) fn acquire_resident(class: Class) -> Option<(&'static Slab, bool)> {
    let (units, blocks) = (class.shape().units as usize, blocks_of(class));
    // Units that are resident suit long blocks too where there are huge pages.
    let kinds = if blocks == Blocks::Long { [blocks, Blocks::Short] } else { [blocks; 2] };
    kinds.into_iter().find_map(|blocks| take(units, blocks, |clean_bytes| clean_bytes == 0)?)
}

/// Units for a slab of `class`, and whether they read as zero. The slab is not open yet. None where
/// the kernel has no memory, or the memory limit forbids it.
pub(crate) fn acquire(class: Class) -> Option<(&'static Slab, bool)> {
    let (units, blocks) = (class.shape().units as usize, blocks_of(class));
    let found = take(units, blocks, |clean_bytes| COMMITTED.reserve(clean_bytes));
    let run = match found {
        // None where the memory limit forbids it: one chunk more would not help.
        Some(run) => run?,
        None => map_and_take(units, blocks)?,
    };
    purge_due();
    Some(run)
}

/// How the blocks of `class` use their pages.
fn blocks_of(class: Class) -> Blocks {
    Blocks::of(class.shape().block as usize)
}

/// Takes a run of `units` for a slab of `blocks` from the chunk where it fits best, if `may` allows
/// so many clean bytes. None where no chunk has such a run, and none inside where `may` forbids it.
fn take(
    units: usize,
    blocks: Blocks,
    may: impl FnOnce(usize) -> bool,
) -> Option<Option<(&'static Slab, bool)>> {
    let mut depot = DEPOT.lock();
    let chunk = depot.best(units, blocks)?;
    let mut clean = 0;
    let noting = |clean_bytes| {
        clean = clean_bytes;
        may(clean_bytes)
    };
    let run = depot.change(chunk, |chunk| chunk.take_if(units, noting));
    if run.is_some() {
        depot.note_need(clean);
    }
    Some(run)
}

/// Maps a chunk, and takes a run of `units` from it. The kernel is called without the lock: two
/// threads may map a chunk each.
fn map_and_take(units: usize, blocks: Blocks) -> Option<(&'static Slab, bool)> {
    let chunk = Chunk::map(units, blocks, is_filled)?;
    if !index::insert(chunk.base(), chunk.mapped_units()) {
        // SAFETY: just mapped, and in no list.
        unsafe { chunk.unmap_or_keep() };
        COMMITTED.release(units.wrapping_add(1).wrapping_mul(UNIT_BYTES));
        return None;
    }
    let mut depot = DEPOT.lock();
    let run = chunk.take(units);
    depot.list(chunk);
    depot.note_need(units.wrapping_mul(UNIT_BYTES));
    run
}

/// Whether there is a chunk at `base`, filled with short blocks.
fn is_filled(base: usize) -> bool {
    let mut is_filled = false;
    with_chunk(base, |chunk| is_filled = chunk.is_filled());
    is_filled
}

/// Takes the units of `slab` back, which was closed.
pub(crate) fn release(slab: &'static Slab) {
    let chunk = chunk::chunk_of(slab);
    let now_ms = os::now_ms();
    let excess = {
        let mut depot = DEPOT.lock();
        let clean_bytes = depot.change(chunk, |chunk| chunk.put(slab));
        COMMITTED.release(clean_bytes);
        depot.note_free();
        if options::get().purge_delay_ms == 0 {
            // Without a delay, the next tick purges what this one would only make stale.
            chunk.age();
        }
        depot.plan(chunk, now_ms);
        depot.excess()
    };
    #[cfg(feature = "background-purge")]
    super::waiting::request_purge();
    if excess == 0 {
        purge_due();
    } else {
        purge::purge_oldest(excess.min(PURGE_STEP_BYTES));
    }
}

/// Bytes of free units that may be resident.
pub(crate) fn dirty_bytes() -> usize {
    DEPOT.lock().dirty_bytes
}

/// Bytes of address space that chunks take, at most.
pub(crate) fn mapped_bytes() -> usize {
    chunk::count().saturating_mul(CHUNK_BYTES)
}

/// Calls `visit` with every chunk, from the lowest. Each call is under the lock, which is released
/// between them.
pub(crate) fn each_chunk(mut visit: impl FnMut(ChunkRef)) {
    index::bases().for_each(|base| with_chunk(base, &mut visit));
}

/// Calls `visit` with the chunk that `address` lies in, under the lock, if it lies in one.
pub(crate) fn with_chunk(address: usize, visit: impl FnOnce(ChunkRef)) {
    let _depot = DEPOT.lock();
    if let Some(chunk) = chunk_at(address) {
        visit(chunk);
    }
}

/// Calls `visit` with the chunk that `address` lies in, if it lies in one. None where the lock
/// could not be had within a while: the caller may be the one that holds it.
pub(crate) fn inspect<T>(address: usize, visit: impl FnOnce(Option<ChunkRef>) -> T) -> Option<T> {
    let _depot = DEPOT.lock_within_a_while()?;
    Some(visit(chunk_at(address)))
}

/// The chunk that `address` lies in. Under the lock, and for as long as it is held: the index loses
/// a chunk under it before the chunk is unmapped.
fn chunk_at(address: usize) -> Option<ChunkRef> {
    // SAFETY: chunks in the index are mapped.
    index::contains(address).then(|| unsafe { Chunk::at(align_down(address, CHUNK_BYTES)) })
}

impl Depot {
    const fn new() -> Self {
        Self {
            chunks: ByRun::new(),
            short: ByRun::new(),
            due_first: ptr::null(),
            due_last: ptr::null(),
            planned: 0,
            dirty_bytes: 0,
            demand: Demand::new(),
            ticked_ms: 0,
        }
    }

    fn lists_of(&self, chunk: &Chunk) -> &ByRun {
        if chunk.is_for_short() { &self.short } else { &self.chunks }
    }

    /// The chunk where a run of `units` fits best. For short blocks one with huge pages, if there
    /// is one; for long ones one without.
    fn best(&self, units: usize, blocks: Blocks) -> Option<ChunkRef> {
        let short = (blocks == Blocks::Short).then(|| self.short.best(units)).flatten();
        short.or_else(|| self.chunks.best(units))
    }

    /// Puts a chunk on its list.
    fn list(&mut self, chunk: ChunkRef) {
        self.lists_of(chunk).list(chunk);
        self.dirty_bytes = self.dirty_bytes.wrapping_add(chunk.dirty_bytes());
    }

    /// Takes a chunk off its list.
    fn unlist(&mut self, chunk: ChunkRef) {
        self.lists_of(chunk).unlist(chunk);
        self.dirty_bytes = self.dirty_bytes.wrapping_sub(chunk.dirty_bytes());
    }

    /// Changes a listed chunk's free units, and keeps it on the right list.
    fn change<T>(&mut self, chunk: ChunkRef, change: impl FnOnce(ChunkRef) -> T) -> T {
        self.unlist(chunk);
        let changed = change(chunk);
        self.list(chunk);
        changed
    }

    /// Dirty bytes beyond those that may wait for the purge delay.
    fn excess(&self) -> usize {
        if options::get().purge_delay_ms == u64::MAX || self.dirty_bytes <= COMMITTED.used() / 2 {
            return 0;
        }
        self.dirty_bytes.saturating_sub(DIRTY_BYTES.max(self.demand.keep()))
    }

    /// Dirty bytes beyond those that are likely to be needed again.
    fn idle_bytes(&self) -> usize {
        let keep = if options::get().purge_delay_ms == 0 { 0 } else { self.demand.keep() };
        self.dirty_bytes.saturating_sub(keep)
    }

    /// Notes that units were taken, of which `clean_bytes` were clean.
    fn note_need(&mut self, clean_bytes: usize) {
        growth::note(clean_bytes);
        self.demand.needed(self.dirty_bytes, clean_bytes);
    }

    /// Notes that units were freed.
    fn note_free(&mut self) {
        self.demand.freed(self.dirty_bytes);
    }
}
