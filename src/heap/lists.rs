//! The slabs of a heap by class: the current one, those with room, those without.
//!
//! Each slab of a heap is in one state (`SlabState`), and on the list that belongs to it. The
//! lists' lock guards both.

use core::ptr;

use super::{EMPTY, Heap, shared};
use crate::base::atomic::Ordering;
use crate::block::size_class::Class;
use crate::memory::chunk;
use crate::memory::slab::{Occupancy, Slab, SlabState};
use crate::os::fatal;

impl Heap {
    /// The slab of this heap with the block at `address`, if it is at hand, else any slab.
    #[inline(always)]
    pub(crate) fn owned(&self, address: usize) -> &'static Slab {
        self.owned.near(address)
    }

    /// As [`owned`](Self::owned), where that is another one.
    #[inline(always)]
    pub(crate) fn owned_far(&self, address: usize) -> Option<&'static Slab> {
        self.owned.far(address)
    }

    /// Enters `slab` into the owned-slab cache, if it has one unit only and feeds no bin: the next
    /// free finds it there.
    #[inline]
    pub(crate) fn remember(&self, slab: &'static Slab) {
        if slab.units() == 1 && !slab.feeds_bins() {
            self.owned.enter(slab);
        }
    }

    /// Removes `slab` from the owned-slab cache.
    pub(super) fn forget(&self, slab: &Slab) {
        self.owned.remove(slab);
    }

    /// Makes an open slab on no list the current one of `class`, and parks the one before it.
    pub(super) fn replace_current(&'static self, class: Class, slab: &'static Slab) {
        self.park(self.slabs.current(class));
        self.make_current(class, slab);
    }

    pub(super) fn make_current(&'static self, class: Class, slab: &'static Slab) {
        slab.move_to(SlabState::Current);
        if !self.goes_on_feeding(slab) {
            slab.set_plain();
            slab.list_absent();
        }
        self.set_current(class, slab);
        self.remember(slab);
        self.classes.set(self.classes.get() | (1 << class.index()));
    }

    /// Takes a slab with room off its list, if it is better than `slab`, the current one without
    /// free blocks: it has free blocks, or `slab` has no uncarved ones either.
    pub(super) fn take_partial(&'static self, class: Class, slab: &'static Slab) -> Option<&'static Slab> {
        let _lists = self.lists.lock();
        let partial = self.slabs.partial(class);
        let first = partial.first().filter(|first| first.has_free() || !slab.has_uncarved())?;
        partial.remove(first);
        // Under the lock: a helper expects a partial slab on its list.
        first.move_to(SlabState::Current);
        Some(first)
    }

    /// Counts the units of a slab that leaves the heap empty. Helpers count, too.
    pub(super) fn uncount(&self, slab: &Slab) {
        self.count_units(slab, -1);
        self.uncharge(slab);
    }

    /// Counts the units of a slab that came to the heap, or left it. Helpers count, too.
    pub(super) fn count_units(&self, slab: &Slab, sign: i32) {
        let units = (slab.units() as i32).wrapping_mul(sign);
        self.units.fetch_add(units.cast_unsigned(), Ordering::Relaxed);
    }

    /// Moves a slab that was current to the list of its new state.
    pub(super) fn park(&'static self, slab: &'static Slab) {
        if ptr::eq(slab, &raw const EMPTY) {
            return;
        }
        self.unkeep(slab);
        #[cfg(debug_assertions)]
        slab.check();
        let _lists = self.lists.lock();
        self.park_listed(slab);
    }

    /// As [`park`](Self::park), for the holder of the lists' lock.
    pub(super) fn park_listed(&'static self, slab: &'static Slab) {
        self.watch(slab);
        if slab.has_free() || slab.has_uncarved() {
            self.park_partial(slab);
        } else {
            self.forget(slab);
            slab.move_to(SlabState::Full);
            self.enter_full(slab);
        }
    }

    /// Notes it as soon as a page of `slab` may be free. For the holder of the lists' lock.
    pub(super) fn watch(&self, slab: &'static Slab) {
        if slab.watch() {
            self.note_sparse(slab);
        }
    }

    pub(super) fn note_sparse(&self, slab: &Slab) {
        self.sparse.set(self.sparse.get() | (1 << slab.class().index()));
    }

    /// Enters a slab into its class's list. Those with free blocks stay before those with uncarved
    /// ones only, and before purged ones.
    pub(super) fn park_partial(&'static self, slab: &'static Slab) {
        let is_purged = slab.has_absent();
        slab.move_to(if is_purged { SlabState::Purged } else { SlabState::Partial });
        shared::note_room(self, slab.class());
        let partial = self.slabs.partial(slab.class());
        if slab.has_free() && !is_purged && partial.last().is_some_and(Slab::has_absent) {
            return partial.push_first(slab);
        }
        let last = partial.last().filter(|last| !is_purged && !last.has_free() && slab.has_free());
        partial.push_last(slab);
        if let Some(last) = last {
            partial.remove(last);
            partial.push_last(last);
        }
    }

    /// Enters a slab into the list of full ones.
    pub(super) fn enter_full(&'static self, slab: &'static Slab) {
        self.full.push_first(slab);
        self.tally.filled(slab.class());
        chunk::chunk_of(slab).note_full(slab);
    }

    /// Removes a slab that has room again from the list of full ones.
    pub(super) fn leave_full(&'static self, slab: &'static Slab) {
        chunk::chunk_of(slab).note_room(slab);
        self.tally.unfilled(slab.class());
        self.full.remove(slab);
    }

    /// Moves a slab that gained free blocks to its new state, and keeps or puts aside an empty one.
    /// For the owner.
    #[inline]
    pub(crate) fn settle(&'static self, slab: &'static Slab, left: Occupancy) {
        match (slab.state(), left) {
            (SlabState::Current, Occupancy::Sparse) => {
                self.end_feeding(slab);
                self.settle(slab, slab.occupancy());
            }
            (SlabState::Current, Occupancy::Empty) => self.keep(slab),
            (SlabState::Partial | SlabState::Purged | SlabState::Current, Occupancy::Used) => {}
            _ => {
                let lists = self.lists.lock();
                // A helper may have taken the last used blocks in meanwhile, and the slab.
                let is_home = ptr::eq(slab.home(), &self.inbox);
                let emptied = if is_home { self.relist(slab, slab.occupancy()) } else { None };
                drop(lists);
                if let Some(slab) = emptied {
                    self.put_aside(slab);
                }
            }
        }
    }

    /// Moves a slab that gained free blocks to the list of its new state. Returns an empty slab,
    /// which is on no list any more. For the holder of the lists' lock; the owner, if the slab is
    /// sparse.
    pub(super) fn relist(&'static self, slab: &'static Slab, left: Occupancy) -> Option<&'static Slab> {
        let left = match left {
            Occupancy::Sparse => {
                self.end_feeding(slab);
                slab.set_plain();
                self.note_sparse(slab);
                slab.occupancy()
            }
            _ => left,
        };
        match (slab.state(), left) {
            (SlabState::Full, Occupancy::Used | Occupancy::Sparse) => {
                self.leave_full(slab);
                self.park_partial(slab);
            }
            (SlabState::Full, Occupancy::Empty) => {
                self.leave_full(slab);
                slab.move_to(SlabState::Unlisted);
                return Some(slab);
            }
            (SlabState::Partial | SlabState::Purged, Occupancy::Empty) => {
                self.slabs.partial(slab.class()).remove(slab);
                slab.move_to(SlabState::Unlisted);
                return Some(slab);
            }
            (SlabState::Current, Occupancy::Empty) => return Some(slab),
            (SlabState::Partial, Occupancy::Used | Occupancy::Sparse) if slab.has_absent() => {
                self.slabs.partial(slab.class()).remove(slab);
                self.park_partial(slab);
            }
            (
                SlabState::Partial | SlabState::Purged | SlabState::Current,
                Occupancy::Used | Occupancy::Sparse,
            ) => {}
            (SlabState::Unlisted, _) => fatal::misuse("free into a slab that is not in use,", slab.base()),
        }
        None
    }
}
