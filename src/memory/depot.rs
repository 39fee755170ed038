//! What threads share: the chunks and their free units, and giving units' pages back.

use core::ptr;

use crate::base::address::align_down;
use crate::base::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::base::config::{CHUNK_BYTES, DIRTY_BYTES, PURGE_STEP_BYTES, UNIT_BYTES, UNITS};
use crate::block::size_class::Class;
use crate::memory::chunk::by_run::ByRun;
use crate::memory::chunk::{self, Blocks, Chunk, State};
use crate::memory::chunk_index;
use crate::memory::demand::Demand;
use crate::memory::slab::Slab;
use crate::memory::stray;
use crate::os;
use crate::os::lock::{Guard, Lock};
use crate::policy::limit::COMMITTED;
use crate::policy::options;

/// The chunks, and the queue of those to look at for pages to purge.
struct Depot {
    /// Those with free units.
    chunks: ByRun,
    /// Those of them with huge pages for short blocks' sake.
    short: ByRun,
    /// Chunks with dirty units in the order in which they are due.
    due_first: *const Chunk,
    due_last: *const Chunk,
    /// How many those are.
    planned: usize,
    /// Bytes of all free units that may be resident.
    dirty_bytes: usize,
    /// How much of that is soon needed again.
    demand: Demand,
    /// When heaps were last told to give back what they only keep.
    told_ms: u64,
}

// SAFETY: the chunks that the pointers lead to are touched under the same lock.
unsafe impl Send for Depot {}

static DEPOT: Lock<Depot> = Lock::new(Depot::new());

/// When the first chunk in the queue is due; a hint that is read without the lock.
static NEXT_DUE_MS: AtomicU64 = AtomicU64::new(u64::MAX);

/// Lists every chunk anew, if another thread of the parent was changing the lists or had units out to purge
/// them: those are free again. For a child.
///
/// # Safety
/// As for [`Lock::mend`].
pub(crate) unsafe fn mend() {
    let list_all = |depot: &mut Depot| {
        *depot = Depot::new();
        NEXT_DUE_MS.store(u64::MAX, Ordering::Relaxed);
        let now_ms = os::now_ms();
        for base in chunk_index::bases() {
            // SAFETY: a chunk is noted after it was mapped, and forgotten before it is unmapped.
            let chunk = unsafe { Chunk::at(base) };
            chunk.mend();
            depot.list(chunk);
            depot.plan(chunk, now_ms);
        }
    };
    let has_lent = LENT.load(Ordering::Relaxed) != 0;
    // SAFETY: forwarded to the caller.
    unsafe { if has_lent { DEPOT.mend_anyway(list_all) } else { DEPOT.mend(list_all) } }
    LENT.store(0, Ordering::Relaxed);
    // Nobody but the calling thread could be about to read a record, and it is not.
    ROBBED_HEAPS.store(0, Ordering::Relaxed);
}

/// How many runs of units purges have taken out.
static LENT: AtomicUsize = AtomicUsize::new(0);

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
            told_ms: 0,
        }
    }

    fn lists_of(&self, chunk: &Chunk) -> &ByRun {
        if chunk.is_for_short() { &self.short } else { &self.chunks }
    }

    /// The chunk where a run of `units` fits best: where they are for short blocks, with huge pages if there is
    /// one, and for others without.
    fn best(&self, units: usize, blocks: Blocks) -> Option<&'static Chunk> {
        let short = (blocks == Blocks::Short).then(|| self.short.best(units)).flatten();
        short.or_else(|| self.chunks.best(units))
    }

    /// Puts a chunk on its list.
    fn list(&mut self, chunk: &'static Chunk) {
        self.lists_of(chunk).list(chunk);
        self.dirty_bytes = self.dirty_bytes.wrapping_add(chunk.dirty_bytes());
    }

    /// Takes a chunk off its list.
    fn unlist(&mut self, chunk: &'static Chunk) {
        self.lists_of(chunk).unlist(chunk);
        self.dirty_bytes = self.dirty_bytes.wrapping_sub(chunk.dirty_bytes());
    }

    /// Changes a listed chunk's free units.
    fn change<T>(&mut self, chunk: &'static Chunk, change: impl FnOnce(&'static Chunk) -> T) -> T {
        self.unlist(chunk);
        let changed = change(chunk);
        self.list(chunk);
        changed
    }

    /// Bytes that may be resident for nothing beyond those that are to wait for their time.
    fn excess(&self) -> usize {
        if options::get().purge_delay_ms == u64::MAX || self.dirty_bytes <= COMMITTED.used() / 2 {
            return 0;
        }
        self.dirty_bytes.saturating_sub(DIRTY_BYTES.max(self.demand.keep()))
    }

    /// Bytes that are resident for nothing beyond those that are likely to be needed again.
    fn idle_bytes(&self) -> usize {
        let keep = if options::get().purge_delay_ms == 0 { 0 } else { self.demand.keep() };
        self.dirty_bytes.saturating_sub(keep)
    }

    /// Notes that units were taken, of which so many bytes were clean.
    fn note_need(&mut self, clean_bytes: usize) {
        GROWN_BYTES.fetch_add(clean_bytes, Ordering::Relaxed);
        self.demand.needed(self.dirty_bytes, clean_bytes);
    }

    /// Notes that units were freed.
    fn note_free(&mut self) {
        self.demand.freed(self.dirty_bytes);
    }

    /// Notes what the clock says, and tells heaps, once a delay.
    fn note_time(&mut self, now_ms: u64) {
        let delay_ms = options::get().purge_delay_ms;
        self.demand.look(self.dirty_bytes, now_ms, delay_ms);
        if now_ms >= self.told_ms.saturating_add(delay_ms) {
            self.told_ms = now_ms;
            PURGE_TICKS.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Plans a look at `chunk`, after one delay, if there is something to purge or to unmap.
    fn plan(&mut self, chunk: &'static Chunk, now_ms: u64) {
        if chunk.planned.get() || !(chunk.is_dirty() || (chunk.is_unused() && may_unmap(chunk))) {
            return;
        }
        chunk.planned.set(true);
        self.planned = self.planned.wrapping_add(1);
        chunk.due_ms.set(now_ms.saturating_add(options::get().purge_delay_ms));
        chunk.next_due.set(ptr::null());
        // SAFETY: queued chunks are mapped.
        match unsafe { self.due_last.as_ref() } {
            Some(last) => last.next_due.set(chunk),
            None => {
                self.due_first = chunk;
                NEXT_DUE_MS.store(chunk.due_ms.get(), Ordering::Relaxed);
            }
        }
        self.due_last = chunk;
    }

    /// Puts a chunk that was [popped](Self::pop_due) back: there is more to do than was done.
    fn plan_first(&mut self, chunk: &'static Chunk) {
        chunk.planned.set(true);
        self.planned = self.planned.wrapping_add(1);
        chunk.next_due.set(self.due_first);
        if self.due_first.is_null() {
            self.due_last = chunk;
        }
        self.due_first = chunk;
        NEXT_DUE_MS.store(chunk.due_ms.get(), Ordering::Relaxed);
    }

    /// The chunk to look at, if one is due.
    fn pop_due(&mut self, now_ms: u64) -> Option<&'static Chunk> {
        // SAFETY: queued chunks are mapped.
        let chunk = unsafe { self.due_first.as_ref() }.filter(|chunk| chunk.due_ms.get() <= now_ms)?;
        self.due_first = chunk.next_due.get();
        // SAFETY: queued chunks are mapped.
        match unsafe { self.due_first.as_ref() } {
            Some(next) => NEXT_DUE_MS.store(next.due_ms.get(), Ordering::Relaxed),
            None => {
                self.due_last = ptr::null();
                NEXT_DUE_MS.store(u64::MAX, Ordering::Relaxed);
            }
        }
        chunk.planned.set(false);
        self.planned = self.planned.wrapping_sub(1);
        Some(chunk)
    }
}

/// As [`acquire`], of units that are all resident, as far as they are easily found.
pub(crate) fn acquire_resident(class: Class) -> Option<(&'static Slab, bool)> {
    let (units, blocks) = (class.shape().units as usize, blocks_of(class));
    // What is resident anyway serves any block, where there are huge pages too.
    let places = if blocks == Blocks::Long { [blocks, Blocks::Short] } else { [blocks; 2] };
    places.into_iter().find_map(|blocks| take(units, blocks, |clean_bytes| clean_bytes == 0)?)
}

/// How the blocks of `class` use their pages.
fn blocks_of(class: Class) -> Blocks {
    Blocks::of(class.shape().block as usize)
}

/// Takes a run of `units` for a slab of `blocks` from the chunk where it fits best, if `may` be had what of it is clean, in
/// bytes. None where no chunk has as many, and none inside where they may not be had.
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

/// Units for a slab of `class`, and whether they read as zero. The slab is not open yet.
pub(crate) fn acquire(class: Class) -> Option<(&'static Slab, bool)> {
    let (units, blocks) = (class.shape().units as usize, blocks_of(class));
    let found = take(units, blocks, |clean_bytes| COMMITTED.reserve(clean_bytes));
    let run = match found {
        // None where the memory limit forbids it; a chunk more would not help.
        Some(run) => run?,
        None => {
            // The call to the kernel is made without the lock; two threads may map one each.
            let chunk = Chunk::map(units, blocks, is_filled)?;
            if !chunk_index::insert(chunk.base(), chunk.mapped_units()) {
                // SAFETY: just mapped, and in no list.
                unsafe { chunk.give_back() };
                COMMITTED.release(units.wrapping_add(1).wrapping_mul(UNIT_BYTES));
                return None;
            }
            let mut depot = DEPOT.lock();
            let run = chunk.take(units);
            depot.list(chunk);
            depot.note_need(units.wrapping_mul(UNIT_BYTES));
            run?
        }
    };
    purge_due();
    Some(run)
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
            // What is to go back at once does not wait for a second look.
            chunk.age();
        }
        depot.plan(chunk, now_ms);
        depot.excess()
    };
    #[cfg(feature = "background-purge")]
    super::waiting::need();
    if excess == 0 {
        purge_due();
    } else {
        give_back(excess.min(PURGE_STEP_BYTES));
    }
}

/// Gives back the pages inside free blocks of `slab`, which the caller owns. Its units stay its own,
/// and committed: the blocks may be used again at any moment. Returns the bytes given back.
pub(crate) fn purge_inside(slab: &'static Slab) -> usize {
    let chunk = chunk::chunk_of(slab);
    let may_be_huge = {
        let mut depot = DEPOT.lock();
        let is_to_be_told = depot.change(chunk, Chunk::stop_huge);
        depot.plan(chunk, os::now_ms());
        let may_be_huge = chunk.may_be_huge();
        drop(depot);
        if is_to_be_told {
            chunk.advise_not_huge();
        }
        may_be_huge
    };
    let mut purged = 0_usize;
    slab.purge_inside(|start, bytes| {
        if may_be_huge {
            // SAFETY: the range lies in a free block of the caller's slab.
            let _ = unsafe { os::split_huge(start, bytes) };
        }
        // SAFETY: as above. Refused, the pages stay as they are, or are half given back; the block may hold anything.
        if unsafe { os::discard(start, bytes) }.is_ok() {
            purged = purged.wrapping_add(bytes);
            PURGES.fetch_add(1, Ordering::Relaxed);
        }
    });
    PURGED_BYTES.fetch_add(purged as u64, Ordering::Relaxed);
    purged
}

/// Bytes that purges have given back, all told.
pub(crate) fn purged_bytes() -> u64 {
    PURGED_BYTES.load(Ordering::Relaxed)
}

static PURGED_BYTES: AtomicU64 = AtomicU64::new(0);

/// How many runs of units purges have given back, all told.
pub(crate) fn purges() -> u64 {
    PURGES.load(Ordering::Relaxed)
}

static PURGES: AtomicU64 = AtomicU64::new(0);

/// Bytes of address space that chunks take, at most.
pub(crate) fn mapped_bytes() -> usize {
    chunk::count().saturating_mul(CHUNK_BYTES)
}

/// Calls `look` with every chunk, from the lowest, each under the depot's lock, which nobody waits for longer than
/// one takes.
pub(crate) fn each_chunk(mut look: impl FnMut(&'static Chunk)) {
    chunk_index::bases().for_each(|base| with_chunk(base, &mut look));
}

/// Calls `look` with the chunk that `address` lies in, under the depot's lock, if it lies in one.
pub(crate) fn with_chunk(address: usize, look: impl FnOnce(&'static Chunk)) {
    let _depot = DEPOT.lock();
    if let Some(chunk) = chunk_at(address) {
        look(chunk);
    }
}

/// Calls `look` with the chunk that `address` lies in, which stays mapped meanwhile, if it lies in
/// one. None where the lock could not be had within a while: the caller may be the one that holds it.
pub(crate) fn inspect<T>(address: usize, look: impl FnOnce(Option<&'static Chunk>) -> T) -> Option<T> {
    let _depot = DEPOT.lock_within_a_while()?;
    Some(look(chunk_at(address)))
}

/// The chunk that `address` lies in. Under the lock, and for as long as it is held: a chunk is
/// forgotten under it before it is unmapped.
fn chunk_at(address: usize) -> Option<&'static Chunk> {
    // SAFETY: a chunk that is noted is mapped.
    chunk_index::contains(address).then(|| unsafe { Chunk::at(align_down(address, CHUNK_BYTES)) })
}

/// Purges what is due, up to the bytes that one slow path may.
#[inline]
pub(crate) fn purge_due() {
    #[cfg(feature = "background-purge")]
    if super::waiting::is_running() {
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

/// When the first chunk is due; `u64::MAX` where none waits for its time.
#[cfg(feature = "background-purge")]
pub(crate) fn next_due_ms() -> u64 {
    NEXT_DUE_MS.load(Ordering::Relaxed)
}

/// Purges what is due, at most `most_bytes` and what one chunk has.
#[cfg(feature = "background-purge")]
pub(crate) fn purge(now_ms: u64, most_bytes: usize) {
    if next_due_ms() <= now_ms {
        purge_tick(now_ms, most_bytes);
    }
}

/// Clean bytes that were taken since [`has_grown`] said so.
static GROWN_BYTES: AtomicUsize = AtomicUsize::new(0);

/// How many of those are worth a look for sleeping heaps: few where the last one found something.
static GROWTH_STEP: AtomicUsize = AtomicUsize::new(CHUNK_BYTES);

/// Whether so much memory has become resident since this last said so that a look for sleeping heaps is due.
pub(crate) fn has_grown() -> bool {
    let step = GROWTH_STEP.load(Ordering::Relaxed);
    GROWN_BYTES.load(Ordering::Relaxed) >= step && GROWN_BYTES.swap(0, Ordering::Relaxed) >= step
}

/// Notes whether such a look found something.
pub(crate) fn note_help(helped: bool) {
    let step = GROWTH_STEP.load(Ordering::Relaxed);
    let next = if helped { UNIT_BYTES } else { CHUNK_BYTES.min(step.saturating_mul(2)) };
    GROWTH_STEP.store(next, Ordering::Relaxed);
}

/// Heaps on whose account chunks are pinned.
static ROBBED_HEAPS: AtomicUsize = AtomicUsize::new(0);

/// Keeps a chunk mapped, of which a slab is about to be released, until [`unpin`] was called for the heap that had
/// it: the heap's thread may be about to read the slab's record. `is_first`: none was pinned on its account.
pub(crate) fn pin(chunk: &'static Chunk, is_first: bool) {
    let _depot = DEPOT.lock();
    chunk.pinned.set(true);
    ROBBED_HEAPS.fetch_add(usize::from(is_first), Ordering::Relaxed);
}

/// Ends a heap's account. When there is none left, all chunks may go.
pub(crate) fn unpin() {
    let mut depot = DEPOT.lock();
    if ROBBED_HEAPS.fetch_sub(1, Ordering::Relaxed) != 1 {
        return;
    }
    let now_ms = os::now_ms();
    for base in chunk_index::bases() {
        // SAFETY: a chunk is forgotten under this lock before it is unmapped.
        let chunk = unsafe { Chunk::at(base) };
        if chunk.pinned.replace(false) {
            depot.plan(chunk, now_ms);
        }
    }
}

/// Whether no thread may be about to read a record of the chunk, none of whose slabs is in use. Under the lock.
fn may_unmap(chunk: &Chunk) -> bool {
    !chunk.pinned.get() || ROBBED_HEAPS.load(Ordering::Relaxed) == 0
}

/// Purges every free unit now, and unmaps chunks that hold nothing.
pub(crate) fn purge_all() {
    PURGE_TICKS.fetch_add(1, Ordering::Relaxed);
    stray::retry(STRAYS_A_LOOK);
    give_back(usize::MAX);
    DEPOT.lock().demand.forget();
}

/// How many looks there have been. Heaps that find it changed give back what they only keep.
#[inline]
pub(crate) fn purge_ticks() -> u64 {
    PURGE_TICKS.load(Ordering::Relaxed)
}

static PURGE_TICKS: AtomicU64 = AtomicU64::new(0);

/// Stray ranges that one look tries to unmap: more would make one slow path slow.
const STRAYS_A_LOOK: usize = 16;

/// Looks once at each chunk that is due, until `most_bytes` were purged.
#[cold]
fn purge_tick(now_ms: u64, most_bytes: usize) {
    stray::retry(STRAYS_A_LOOK);
    let mut depot = DEPOT.lock();
    depot.note_time(now_ms);
    let planned = depot.planned;
    drop(depot);
    let mut left = most_bytes;
    let are_many = chunk::are_many();
    for _ in 0..planned {
        let mut depot = DEPOT.lock();
        let Some(chunk) = depot.pop_due(now_ms) else { return };
        left = left.saturating_sub(look_at(depot, chunk, left, are_many));
        if left < UNIT_BYTES {
            return;
        }
    }
}

/// Purges `bytes` of what has waited longest, whether it is due or not.
#[cold]
fn give_back(bytes: usize) {
    let are_many = chunk::are_many();
    let planned = DEPOT.lock().planned;
    let mut left = bytes;
    for _ in 0..planned {
        let mut depot = DEPOT.lock();
        let Some(chunk) = depot.pop_due(u64::MAX) else { return };
        chunk.age();
        left = left.saturating_sub(purge_stale(depot, chunk, left, are_many));
        if left < UNIT_BYTES {
            return;
        }
    }
}

/// Gives back what a chunk taken from the queue has had for nothing since the last look, at most `most_bytes`
/// and not what is likely to be needed again. Returns the bytes given back.
fn look_at(
    mut depot: Guard<'static, Depot>,
    chunk: &'static Chunk,
    most_bytes: usize,
    are_many: bool,
) -> usize {
    let most_bytes = most_bytes.min(depot.idle_bytes());
    if most_bytes == 0 && chunk.is_dirty() {
        chunk.age();
        depot.plan(chunk, os::now_ms());
        return 0;
    }
    purge_stale(depot, chunk, most_bytes, are_many)
}

/// Purges stale units of a chunk taken from the queue, at most `most_bytes`, and unmaps it where that is all
/// that it has; else plans the next look. Returns the bytes given back. The lock is held from the queue on:
/// without a unit out and without a plan, the chunk could be unmapped by another thread.
fn purge_stale(
    mut depot: Guard<'static, Depot>,
    chunk: &'static Chunk,
    most_bytes: usize,
    are_many: bool,
) -> usize {
    if chunk.is_idle()
        && chunk.dirty_bytes() <= most_bytes
        && may_unmap(chunk)
        // Of many, those at an end go first.
        && !(are_many && chunk.is_amid(chunk_index::contains))
    {
        let bytes = chunk.dirty_bytes();
        depot.unlist(chunk);
        depot.demand.gave_back(bytes);
        chunk_index::remove(chunk.base());
        drop(depot);
        unmap(chunk);
        // A call to the kernel, and the header's page.
        return bytes.saturating_add(UNIT_BYTES);
    }
    let mut purged = 0_usize;
    let mut is_to_be_told = chunk.is_stale() && depot.change(chunk, Chunk::stop_huge);
    loop {
        let most_units = (most_bytes.saturating_sub(purged) / UNIT_BYTES).min(UNITS);
        let Some(run) = depot.change(chunk, |chunk| chunk.take_stale(most_units)) else { break };
        chunk.lend(run.units);
        LENT.fetch_add(1, Ordering::Relaxed);
        // While its units are out, the chunk is not unused and stays mapped without the lock.
        drop(depot);
        if core::mem::take(&mut is_to_be_told) {
            chunk.advise_not_huge();
        }
        let state = run.purge();
        purged = purged.saturating_add(run.bytes);
        PURGED_BYTES.fetch_add(run.bytes as u64, Ordering::Relaxed);
        PURGES.fetch_add(1, Ordering::Relaxed);
        depot = DEPOT.lock();
        depot.change(chunk, |chunk| chunk.put_units(run.units, state));
        chunk.end_lending(run.units);
        LENT.fetch_sub(1, Ordering::Relaxed);
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

/// Unmaps a chunk that the depot has forgotten, or takes it back where the kernel refuses.
fn unmap(chunk: &'static Chunk) {
    // SAFETY: no unit is in a slab, and nobody can find the chunk.
    if unsafe { chunk.unmap() } {
        return;
    }
    // ENOMEM: unmapping would split a mapping at the map-count limit. The range stays ours, without
    // its pages, and is tried again with the next look.
    // SAFETY: as above.
    unsafe { chunk.purge() };
    if chunk_index::insert(chunk.base(), chunk.mapped_units()) {
        let mut depot = DEPOT.lock();
        depot.list(chunk);
        depot.plan(chunk, os::now_ms());
    }
}
