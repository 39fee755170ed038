//! Units that slabs take and bring back, and what is known of the free ones.
//!
//! Another thread may be in the middle of any function here when the process is copied (fork(2)).
//! Each orders its writes so that the copy, after [`Chunk::mend`], has every free unit free or
//! lost, and none clean that is not.

use core::ptr;

use super::runs::{best_run, longest_run, run_mask};
use super::{Chunk, State, Units, bytes_of};
use crate::base::atomic::{Ordering, in_order};
use crate::base::config::{CHUNK_BYTES, RECORD_BYTES};
use crate::memory::slab::Slab;

impl Chunk {
    /// Takes the run of `units` with the most dirty ones: those are resident already. Says whether
    /// the run reads as zero.
    pub(crate) fn take(&'static self, units: usize) -> Option<(&'static Slab, bool)> {
        self.take_if(units, |_| true)
    }

    /// As [`take`](Self::take), if `may` allows so many bytes of clean units.
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
        // In a copy of the process that has this write alone, the units are nobody's.
        self.free.set(free & !run);
        in_order();
        self.dirty.set(self.dirty.get() & !run);
        self.stale.set(self.stale.get() & !run);
        self.measure();
        Some((self.record(first), clean == run))
    }

    /// Takes the run of `units` from `first` on, which are free and clean: for a chunk that is
    /// made again from what is known of it.
    pub(crate) fn claim(&'static self, first: u32, units: usize) -> &'static Slab {
        self.free.set(self.free.get() & !run_mask(first, units));
        self.measure();
        self.record(first)
    }

    /// Takes the run of `slab` back. It is dirty as far as the slab was carved, or was dirty
    /// before. Returns the bytes that are clean.
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
        // Only units known to be dirty may look free in a copy of the process.
        in_order();
        self.free.set(self.free.get() | run);
        self.measure();
    }

    /// Makes the sets agree in a chunk that another thread of the parent may have been changing,
    /// and takes back what a purge had out. The chunk is on no list then. For a child.
    pub(crate) fn mend(&self) {
        let missing = self.purging.replace(0) & !self.free.get();
        self.free.set(self.free.get() | missing);
        self.dirty.set((self.dirty.get() | missing) & self.free.get());
        self.stale.set(self.stale.get() & self.dirty.get());
        self.planned.set(false);
        self.measure();
    }

    /// Notes that `slab`, one of the caller's, is full: statistics need not read its record.
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

    /// Length of the longest run of free units.
    pub(crate) fn longest(&self) -> usize {
        usize::from(self.longest.get())
    }

    pub(super) fn measure(&self) {
        self.longest.set(longest_run(self.free.get()));
    }

    /// Whether no unit is in a slab, nor out for a purge.
    pub(crate) fn is_unused(&self) -> bool {
        self.free.get().count_ones().wrapping_add(1) == u32::from(self.mapped.get())
    }

    /// Whether the chunk is unused, and nothing became dirty since the last purge tick.
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
}

/// Number of a slab's first unit in its chunk.
fn first_unit_of(slab: &Slab) -> u32 {
    (ptr::from_ref(slab).addr() % CHUNK_BYTES / RECORD_BYTES) as u32
}

/// The units of a slab, in its chunk.
pub(super) fn units_of(slab: &Slab) -> Units {
    run_mask(first_unit_of(slab), slab.units())
}
