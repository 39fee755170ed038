//! A chunk: one aligned mapping, its header, and which of its units are free.

use core::cell::Cell;
use core::mem::offset_of;
use core::num::NonZeroUsize;
use core::ptr::{self, NonNull};

use static_assertions::const_assert;

use crate::base::address::{align_down, align_up};
use crate::base::atomic::in_order;
use crate::base::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::base::config::{CHUNK_BYTES, FEW_CHUNKS, RECORD_BYTES, UNIT_BYTES, UNITS};
use crate::memory::slab::{HOME_OFFSET, Slab};
use crate::memory::stray;
use crate::os;
use crate::policy::huge;
use crate::policy::limit::COMMITTED;
use crate::policy::options::{self, HugePagePolicy};

pub(crate) mod by_run;
mod dense;
mod runs;
mod survey;

pub(crate) use dense::Blocks;
pub(crate) use runs::Units;
use runs::{best_run, longest_run, run_mask};
pub(crate) use survey::UnitState;

/// What is known of free units' pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// They read as zero, and none is resident.
    Clean,
    /// They may be resident, and hold anything.
    Dirty,
}

/// Whether huge pages back a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Backing {
    /// Not on the allocator's advice.
    Plain = 0,
    /// It was advised; pages that were never touched may be resident, too.
    Huge,
    /// It was, until pages were given back from its middle. Some huge pages may be left.
    Split,
}

/// The header's first record. It reads as a slab's without home, so that a stray
/// free into the header is told from a good one by the same look.
#[repr(C, align(128))]
pub(crate) struct Chunk {
    /// Units in no slab. All of this is touched under the depot's lock, or by who alone knows of the chunk; in a
    /// first-class heap by who is alone there. Apart are `mapped`, which never changes, and `full`.
    free: Cell<Units>,
    /// Free units whose pages may be resident; the others read as zero.
    dirty: Cell<Units>,
    /// Dirty units that were so at the last look already: the next look purges them.
    stale: Cell<Units>,
    /// When the next look is due.
    pub(crate) due_ms: Cell<u64>,
    /// Neighbours on the depot's list of chunks with the same longest run.
    pub(crate) next: Cell<*const Chunk>,
    pub(crate) previous: Cell<*const Chunk>,
    /// The next chunk to look at.
    pub(crate) next_due: Cell<*const Chunk>,
    /// Whether a look is planned.
    pub(crate) planned: Cell<bool>,
    /// Whether a thread may be about to read a record of it, although none of its slabs is that thread's: see
    /// the depot's `pin`.
    pub(crate) pinned: Cell<bool>,
    /// Units mapped, fewer than [`UNITS`] where memory was short.
    mapped: Cell<u8>,
    /// Length of the longest run of free units.
    longest: Cell<u8>,
    backing: Cell<Backing>,
    /// Lies over a slab's `home`; always null, as what lies behind it is zero.
    no_home: *const (),
    nothing: [usize; 5],
    /// Units of slabs that are full, as far as their heaps say so. Not under the lock: each bit is written by the
    /// owner of its slab.
    full: AtomicU64,
    /// Units that a purge has taken out and will bring back.
    lent: Cell<Units>,
}

const_assert!(size_of::<Chunk>() == RECORD_BYTES && offset_of!(Chunk, no_home) == HOME_OFFSET);

/// The record of the unit that `address` lies in. Plain arithmetic; whether there is a chunk
/// is for the caller to know.
#[inline(always)]
pub(crate) fn record_at(address: usize) -> *const Slab {
    const SHIFT: u32 = UNIT_BYTES.ilog2() - RECORD_BYTES.ilog2();
    let record = (address >> SHIFT) & ((UNITS - 1) * RECORD_BYTES);
    ptr::with_exposed_provenance((address & !(CHUNK_BYTES - 1)).wrapping_add(record))
}

/// Whether `address` lies in a chunk's header unit.
pub(crate) fn is_header(address: usize) -> bool {
    address % CHUNK_BYTES < UNIT_BYTES
}

/// How many chunks there are.
static CHUNKS: AtomicUsize = AtomicUsize::new(0);

/// See [`CHUNKS`].
pub(crate) fn count() -> usize {
    CHUNKS.load(Ordering::Relaxed)
}

/// Whether there are so many that the process could run out of mappings if each were one. May ask the kernel.
pub(crate) fn are_many() -> bool {
    let chunks = CHUNKS.load(Ordering::Relaxed);
    chunks >= FEW_CHUNKS && chunks >= os::most_mappings() / 16
}

fn bytes_of(units: u32) -> usize {
    (units as usize).wrapping_mul(UNIT_BYTES)
}

/// Where the last chunk was mapped: a neighbour of it is the likeliest aligned gap.
static LAST: AtomicUsize = AtomicUsize::new(0);

/// Maps `bytes` at an address that is a multiple of `CHUNK_BYTES`.
fn map_aligned(bytes: usize) -> Option<NonNull<u8>> {
    // The first mapping of all has no neighbour, and only one chance in a thousand.
    let below = NonZeroUsize::new(LAST.load(Ordering::Relaxed).saturating_sub(CHUNK_BYTES));
    if below.is_some() {
        let start = os::map(below, bytes).ok()?;
        if start.addr().get().is_multiple_of(CHUNK_BYTES) {
            return Some(start);
        }
        // SAFETY: just mapped, and nobody knows of it.
        unsafe { stray::give_back(start, bytes) };
    }
    let wide = bytes.wrapping_add(CHUNK_BYTES);
    let start = os::map(None, wide).ok()?;
    let address = start.addr().get();
    let aligned = align_up(address, CHUNK_BYTES);
    let (head, tail) =
        (aligned.wrapping_sub(address), address.wrapping_add(wide).wrapping_sub(aligned.wrapping_add(bytes)));
    // SAFETY: `aligned` lies inside the new mapping.
    let aligned = unsafe { start.byte_add(head) };
    if head != 0 {
        // SAFETY: the head was just mapped and is not part of the chunk.
        unsafe { stray::give_back(start, head) };
    }
    if tail != 0 {
        // SAFETY: as for the head.
        unsafe { stray::give_back(aligned.byte_add(bytes), tail) };
    }
    Some(aligned)
}

/// Asks for huge pages, or against them, for a fresh chunk to which there are `others`. `is_dense`: whether it
/// is going to be, as far as can be told.
fn advise(start: NonNull<u8>, bytes: usize, others: usize, is_dense: impl FnOnce(usize) -> bool) -> Backing {
    let wants = match options::get().huge_pages {
        HugePagePolicy::Never => {
            // SAFETY: the range is the caller's. What the kernel does not do, it does not do.
            let _ = unsafe { os::advise_not_huge(start, bytes) };
            false
        }
        HugePagePolicy::Adaptive => is_dense(others) && huge::are_worth_asking(),
        HugePagePolicy::Always => true,
    };
    // SAFETY: as above.
    if wants && unsafe { os::advise_huge(start, bytes) }.is_ok() { Backing::Huge } else { Backing::Plain }
}

impl Chunk {
    /// Maps a chunk with a run of at least `units` free units: a full one, or where that
    /// cannot be had the smallest that will do. The header and the run count as committed.
    /// The run is for a slab of `blocks`; `is_filled`: whether there is a chunk at an address that
    /// [is](Self::is_filled).
    pub(crate) fn map(
        units: usize,
        blocks: Blocks,
        is_filled: impl FnOnce(usize) -> bool,
    ) -> Option<&'static Self> {
        let least = units.wrapping_add(1).wrapping_mul(UNIT_BYTES);
        if !COMMITTED.reserve(least) {
            return None;
        }
        let full = map_aligned(CHUNK_BYTES).map(|start| (start, UNITS));
        let mapped = full.or_else(|| Some((map_aligned(least)?, units.wrapping_add(1))));
        let Some((start, mapped)) = mapped else {
            COMMITTED.release(least);
            return None;
        };
        LAST.store(start.as_ptr().expose_provenance(), Ordering::Relaxed);
        // Before the first touch, which would make its half of the chunk one of small pages.
        let others = CHUNKS.fetch_add(1, Ordering::Relaxed);
        let is_dense = |others| blocks == Blocks::Short && dense::is_next(others, is_filled);
        let backing = advise(start, bytes_of(mapped as u32), others, is_dense);
        if backing == Backing::Huge {
            // SAFETY: a fresh mapping begins there; the header reads as zero.
            huge::is_worth(|| unsafe { start.write_volatile(0) });
        }
        dense::note(start.addr().get());
        // SAFETY: fresh zeroed memory of that many units, aligned.
        let chunk = unsafe { Self::place(start, mapped, 1) };
        chunk.backing.set(backing);
        Some(chunk)
    }

    /// Makes `mapped` units from `start` on a chunk whose first `header` units are in no slab.
    ///
    /// # Safety
    /// The memory begins on a multiple of `CHUNK_BYTES`, is its owner's for as long as the chunk
    /// is referred to, and the header's records read as zero.
    pub(crate) unsafe fn place(start: NonNull<u8>, mapped: usize, header: usize) -> &'static Self {
        // SAFETY: the header is as long as that, and zero is a valid one.
        let chunk = unsafe { start.cast::<Self>().as_ref() };
        chunk.mapped.set(mapped as u8);
        chunk.free.set((Units::MAX >> (UNITS.wrapping_sub(mapped))) & (Units::MAX << header));
        chunk.measure();
        chunk
    }

    /// Takes the run of `units` from `first` on, which are free and clean: for a chunk that is
    /// made again from what is known of it.
    pub(crate) fn claim(&'static self, first: u32, units: usize) -> &'static Slab {
        self.free.set(self.free.get() & !run_mask(first, units));
        self.measure();
        self.record(first)
    }

    /// Notes that `slab`, one of the caller's, is full, so that statistics need not look at it.
    pub(crate) fn note_full(&self, slab: &Slab) {
        self.full.fetch_or(units_of(slab), Ordering::Relaxed);
    }

    /// Ends [`note_full`](Self::note_full).
    pub(crate) fn note_room(&self, slab: &Slab) {
        self.full.fetch_and(!units_of(slab), Ordering::Relaxed);
    }

    /// Units in no slab.
    pub(crate) fn free_units(&self) -> Units {
        self.free.get()
    }

    /// Whether a huge page may back some of it.
    pub(crate) fn may_be_huge(&self) -> bool {
        self.backing.get() != Backing::Plain
    }

    /// Whether it has huge pages for short blocks' sake: a page of a long one may never be touched.
    pub(crate) fn is_for_short(&self) -> bool {
        self.backing.get() == Backing::Huge && options::get().huge_pages == HugePagePolicy::Adaptive
    }

    /// Whether there are units to purge.
    pub(crate) fn is_stale(&self) -> bool {
        self.stale.get() != 0
    }

    /// Prepares a chunk for some of its pages to be given back: a huge page that is given back in part
    /// would stay charged in full, and the kernel would fill it up again. So the whole chunk is
    /// backed by small pages from now on, and what was never touched goes back with the rest.
    /// Says so if that is to be told the kernel.
    pub(crate) fn stop_huge(&self) -> bool {
        if self.backing.get() != Backing::Huge {
            return false;
        }
        self.backing.set(Backing::Split);
        let untouched = self.free.get() & !self.dirty.get();
        COMMITTED.add(bytes_of(untouched.count_ones()));
        self.dirty.set(self.dirty.get() | untouched);
        self.stale.set(self.stale.get() | untouched);
        true
    }

    /// Tells the kernel what [`stop_huge`](Self::stop_huge) decided, if that does not make too many mappings: the
    /// chunk is then apart from its neighbours. Without it some of the pages may come back by themselves.
    pub(crate) fn advise_not_huge(&self) {
        if are_many() {
            return;
        }
        // SAFETY: the range is the chunk's. Refused, purged pages may come back by themselves.
        let _ = unsafe { os::advise_not_huge(NonNull::from(self).cast(), self.mapped_bytes()) };
    }

    /// Whether there are chunks on both sides: unmapped, it would make two mappings of one.
    pub(crate) fn is_amid(&self, is_chunk: impl Fn(usize) -> bool) -> bool {
        is_chunk(self.base().wrapping_sub(CHUNK_BYTES)) && is_chunk(self.base().wrapping_add(CHUNK_BYTES))
    }

    /// Unmaps the chunk. False where the kernel refuses; it is then as before.
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

    /// Unmaps the chunk, now or later.
    ///
    /// # Safety
    /// As for [`unmap`](Self::unmap); it is a chunk no more.
    pub(crate) unsafe fn give_back(&self) {
        CHUNKS.fetch_sub(1, Ordering::Relaxed);
        // SAFETY: forwarded to the caller.
        unsafe { stray::give_back(NonNull::from(self).cast(), self.mapped_bytes()) };
    }

    /// Gives back every page but the header's, of a chunk that the kernel would not unmap.
    ///
    /// # Safety
    /// As for [`unmap`](Self::unmap).
    pub(crate) unsafe fn purge(&self) {
        self.age();
        while let Some(run) = self.take_stale(UNITS) {
            let state = run.purge();
            self.put_units(run.units, state);
            run.count_purged(state);
        }
    }

    pub(crate) fn base(&self) -> usize {
        ptr::from_ref(self).addr()
    }

    /// Units mapped, the header's included.
    pub(crate) fn mapped_units(&self) -> u8 {
        self.mapped.get()
    }

    pub(crate) fn mapped_bytes(&self) -> usize {
        usize::from(self.mapped.get()).wrapping_mul(UNIT_BYTES)
    }

    /// Length of the longest run of free units.
    pub(crate) fn longest(&self) -> usize {
        usize::from(self.longest.get())
    }

    fn measure(&self) {
        self.longest.set(longest_run(self.free.get()));
    }

    /// Whether no unit is in a slab.
    pub(crate) fn is_unused(&self) -> bool {
        self.free.get().count_ones().wrapping_add(1) == u32::from(self.mapped.get())
    }

    /// Whether no unit is in a slab, and none was at the last look.
    pub(crate) fn is_idle(&self) -> bool {
        self.is_unused() && self.stale.get() == self.dirty.get()
    }

    /// Bytes of free units that may be resident.
    pub(crate) fn dirty_bytes(&self) -> usize {
        bytes_of(self.dirty.get().count_ones())
    }

    /// Whether pages of free units may be resident.
    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty.get() != 0
    }

    /// Takes the run of `units` with the most dirty ones: they are resident already. Says
    /// whether the run reads as zero.
    pub(crate) fn take(&'static self, units: usize) -> Option<(&'static Slab, bool)> {
        self.take_if(units, |_| true)
    }

    /// As [`take`](Self::take), if `may` be had what of the run is clean, in bytes.
    pub(crate) fn take_if(
        &'static self,
        units: usize,
        may: impl FnOnce(usize) -> bool,
    ) -> Option<(&'static Slab, bool)> {
        let free = self.free.get();
        let first = best_run(free, self.dirty.get(), units)?;
        let run = run_mask(first, units);
        let clean = run & !self.dirty.get();
        if !may(bytes_of(clean.count_ones())) {
            return None;
        }
        // In a copy of the process that misses the rest, the units are nobody's.
        self.free.set(free & !run);
        in_order();
        self.dirty.set(self.dirty.get() & !run);
        self.stale.set(self.stale.get() & !run);
        self.measure();
        Some((self.record(first), clean == run))
    }

    fn record(&'static self, unit: u32) -> &'static Slab {
        // SAFETY: the header has a record for each unit below 64, and zeroes are a record.
        unsafe { &*ptr::from_ref(self).byte_add((unit as usize).wrapping_mul(RECORD_BYTES)).cast() }
    }

    /// Takes the run of `slab` back: dirty as far as it was carved, or was before. Says how many
    /// bytes are clean.
    pub(crate) fn put(&self, slab: &Slab) -> usize {
        let first = first_unit_of(slab);
        let used = slab.used_units();
        if used != 0 {
            self.put_units(run_mask(first, used), State::Dirty);
        }
        let clean = slab.units().wrapping_sub(used);
        if clean != 0 {
            self.put_units(run_mask(first.wrapping_add(used as u32), clean), State::Clean);
        }
        bytes_of(clean as u32)
    }

    /// Takes `run` back from a slab or from a purge.
    pub(crate) fn put_units(&self, run: Units, state: State) {
        if state == State::Dirty {
            self.dirty.set(self.dirty.get() | run);
        }
        // Only what is known to be dirty may look free in a copy of the process.
        in_order();
        self.free.set(self.free.get() | run);
        self.measure();
    }

    /// Notes that a purge has taken `run` out.
    pub(crate) fn lend(&self, run: Units) {
        self.lent.set(self.lent.get() | run);
    }

    /// Notes that a purge has brought `run` back.
    pub(crate) fn end_lending(&self, run: Units) {
        in_order();
        self.lent.set(self.lent.get() & !run);
    }

    /// Brings a chunk into order that another thread of the parent may have been changing; it is on no list
    /// then. For a child.
    pub(crate) fn mend(&self) {
        let missing = self.lent.replace(0) & !self.free.get();
        self.free.set(self.free.get() | missing);
        self.dirty.set((self.dirty.get() | missing) & self.free.get());
        self.stale.set(self.stale.get() & self.dirty.get());
        self.planned.set(false);
        self.measure();
    }

    /// Takes the first run of stale units out, at most `most` units, to be purged.
    pub(crate) fn take_stale(&self, most: usize) -> Option<Run> {
        let stale = self.stale.get();
        if stale == 0 || most == 0 {
            return None;
        }
        let first = stale.trailing_zeros();
        let length = (stale >> first).trailing_ones().min(most as u32);
        let units = run_mask(first, length as usize);
        self.free.set(self.free.get() & !units);
        in_order();
        self.dirty.set(self.dirty.get() & !units);
        self.stale.set(stale & !units);
        self.measure();
        let start = self.base().wrapping_add((first as usize).wrapping_mul(UNIT_BYTES));
        Some(Run { units, start, bytes: bytes_of(length), may_be_huge: self.may_be_huge() })
    }

    /// Makes what is dirty now purgeable at the next look.
    pub(crate) fn age(&self) {
        self.stale.set(self.dirty.get());
    }

    /// The chunk at `base`.
    ///
    /// # Safety
    /// A chunk is mapped there, and stays for as long as it is referred to.
    pub(crate) unsafe fn at(base: usize) -> &'static Self {
        // SAFETY: forwarded to the caller.
        unsafe { &*ptr::with_exposed_provenance(base) }
    }
}

/// Units on their way through a purge, in nobody's set.
pub(crate) struct Run {
    pub(crate) units: Units,
    pub(crate) start: usize,
    pub(crate) bytes: usize,
    may_be_huge: bool,
}

impl Run {
    /// Gives the pages back. What is known of them now, for [`count_purged`](Self::count_purged).
    pub(crate) fn purge(&self) -> State {
        let Some(start) = NonNull::new(ptr::with_exposed_provenance_mut(self.start)) else {
            return State::Dirty;
        };
        if self.may_be_huge {
            // SAFETY: the units are in no slab and taken out of the chunk's free set.
            let _ = unsafe { os::split_huge(start, self.bytes) };
        }
        // SAFETY: as above.
        match unsafe { os::discard(start, self.bytes) } {
            Ok(()) => State::Clean,
            // They may be half given back, and hold anything.
            Err(_) => State::Dirty,
        }
    }

    /// Ends the counting of units that are clean now, once they are back: in a child they may be taken for
    /// dirty, and must not be counted off twice.
    pub(crate) fn count_purged(&self, state: State) {
        if state == State::Clean {
            COMMITTED.release(self.bytes);
        }
    }
}

/// Number of a slab's first unit in its chunk.
fn first_unit_of(slab: &Slab) -> u32 {
    (ptr::from_ref(slab).addr() % CHUNK_BYTES / RECORD_BYTES) as u32
}

/// The units of a slab, in its chunk.
fn units_of(slab: &Slab) -> Units {
    run_mask(first_unit_of(slab), slab.units())
}

/// The chunk of a record.
pub(crate) fn chunk_of(slab: &Slab) -> &'static Chunk {
    let base = align_down(ptr::from_ref(slab).addr(), CHUNK_BYTES);
    // SAFETY: records lie in the header of their chunk, which is mapped while one is referred to.
    unsafe { &*ptr::with_exposed_provenance(base) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_come_back_dirty_and_are_purged_after_two_looks() {
        let chunk = Chunk::map(3, Blocks::Long, |_| false).expect("a chunk");
        assert!(chunk.is_unused() && !chunk.is_dirty());
        let (slab, zero) = chunk.take(3).expect("a run");
        assert!(zero && !chunk.is_unused());
        assert_eq!(chunk.longest(), UNITS - 4);
        chunk.put_units(0b1110, State::Dirty);
        assert_eq!(slab.base(), chunk.base() + UNIT_BYTES);
        assert!(chunk.is_dirty() && chunk.take_stale(UNITS).is_none());
        chunk.age();
        let run = chunk.take_stale(UNITS).expect("a stale run");
        assert_eq!((run.units, run.bytes), (0b1110, 3 * UNIT_BYTES));
        assert_eq!(run.purge(), State::Clean);
        chunk.put_units(run.units, State::Clean);
        assert!(chunk.is_unused() && !chunk.is_dirty());
        // SAFETY: nobody else knows of the chunk.
        assert!(unsafe { chunk.unmap() });
    }
}
