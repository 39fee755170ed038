//! Units that a purge takes out of a chunk and brings back, and the end of a chunk's huge pages.
//!
//! A unit becomes stale at the first purge tick after it was freed, and is purged at the next. The
//! kernel is called without the depot's lock: meanwhile the units are in nobody's set.

use core::ptr::{self, NonNull};

use super::map::are_many;
use super::runs::run_mask;
use super::{Backing, Chunk, State, Units, bytes_of};
use crate::base::atomic::in_order;
use crate::base::config::UNITS;
use crate::memory::advice::advise;
use crate::os;
use crate::policy::huge::Advice;
use crate::policy::limit::COMMITTED;

impl Chunk {
    /// Makes what is dirty now stale.
    pub(crate) fn age(&self) {
        self.stale.set(self.dirty.get());
    }

    /// Whether there are stale units.
    pub(crate) fn is_stale(&self) -> bool {
        self.stale.get() != 0
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
        let start = self.base().wrapping_add(bytes_of(first));
        Some(Run { units, start, bytes: bytes_of(length), may_be_huge: self.may_be_huge() })
    }

    /// Notes that a purge has taken `run` out: a child takes it back.
    pub(crate) fn begin_purge(&self, run: Units) {
        self.purging.set(self.purging.get() | run);
    }

    /// Notes that a purge has brought `run` back.
    pub(crate) fn end_purge(&self, run: Units) {
        in_order();
        self.purging.set(self.purging.get() & !run);
    }

    /// Gives back every dirty page, of a chunk that the kernel would not unmap. The header stays.
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

    /// Ends the huge pages of a chunk of which pages are about to be given back. Whether the kernel
    /// is to be [told](Self::advise_small).
    ///
    /// A huge page that is given back in part would stay charged in full, and the kernel would fill
    /// it up again. So small pages back the whole chunk from now on, and pages that were never
    /// touched go back with the rest.
    #[must_use]
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

    /// Advises the kernel of what [`stop_huge`](Self::stop_huge) decided, unless there are many
    /// chunks: the chunk becomes a mapping apart from its neighbours. Without the advice some
    /// purged pages may come back by themselves.
    pub(crate) fn advise_small(&self) {
        if !are_many() {
            // SAFETY: the range is the chunk's.
            unsafe { advise(NonNull::from(self).cast(), self.mapped_bytes(), Advice::Small) };
        }
    }
}

/// Units out for a purge, in nobody's set.
pub(crate) struct Run {
    pub(crate) units: Units,
    /// Address of the first unit.
    pub(crate) start: usize,
    pub(crate) bytes: usize,
    may_be_huge: bool,
}

impl Run {
    /// Gives the pages back. Returns what is known of them now.
    pub(crate) fn purge(&self) -> State {
        let Some(start) = NonNull::new(ptr::with_exposed_provenance_mut(self.start)) else {
            return State::Dirty;
        };
        // SAFETY: the units are in no slab, and out of the chunk's free set.
        match unsafe { give_back(start, self.bytes, self.may_be_huge) } {
            Ok(()) => State::Clean,
            // They may be half given back, and hold anything.
            Err(_) => State::Dirty,
        }
    }

    /// Ends the count of units that are clean now, once they are back in the free set. A child
    /// takes those that are out for dirty: they must not be counted off twice.
    pub(crate) fn count_purged(&self, state: State) {
        if state == State::Clean {
            COMMITTED.release(self.bytes);
        }
    }
}

/// Gives pages back that are part of a chunk, all of them where a huge page backs them in part.
///
/// # Safety
/// As for [`os::discard`].
pub(crate) unsafe fn give_back(start: NonNull<u8>, bytes: usize, may_be_huge: bool) -> os::Result<()> {
    if may_be_huge {
        // SAFETY: forwarded to the caller.
        let _ = unsafe { os::split_huge(start, bytes) };
    }
    // SAFETY: forwarded to the caller.
    unsafe { os::discard(start, bytes) }
}
