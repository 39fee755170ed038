//! What a heap gives back after a purge tick, and when its thread ends.

use core::ptr;

use super::{EMPTY, Heap, shared};
use crate::base::atomic::Ordering;
use crate::base::config::{ENDED_BYTES, PURGE_STEP_BYTES, UNIT_BYTES};
use crate::block::size_class::Class;
use crate::memory::depot;
use crate::memory::slab::{SinceTick, Slab, SlabList};
use crate::os;
use crate::policy::options;

/// What a look at a slab counts as, so that one slow path does not look at too many: 32,768, or the
/// slabs of 2 GiB. Those behind them wait for a purge.
const LOOK_BYTES: usize = 32;

/// Whether each block of `class` is longer than an OS page.
fn is_long(class: Class) -> bool {
    class.shape().block as usize > os::page_bytes()
}

impl Heap {
    /// Publishes the outbox, adopts remote frees, and gives every empty slab to the depot.
    #[cold]
    pub(crate) fn trim(&'static self) {
        self.ticks_seen.set(depot::purge_ticks());
        self.empty_bins();
        self.outbox.publish_all(&self.tally);
        self.collect();
        for class in Class::in_set(self.classes.get()) {
            self.give_up_current(class);
        }
        self.spares.give_back();
        let _ = self.purge_inside(false, PURGE_STEP_BYTES);
    }

    /// Purges the free pages of partial slabs that have not changed since the last call; with
    /// `all`, of each that was not purged since it changed. Stops once about `most_bytes` were
    /// purged or looked at, which one slab may exceed. Returns how many were.
    pub(crate) fn purge_inside(&'static self, all: bool, most_bytes: usize) -> usize {
        let mut left = most_bytes;
        let _lists = self.lists.lock();
        for class in Class::in_set(self.sparse.get()) {
            let mut next = self.slabs.partial(class).first();
            let mut is_done = true;
            while let Some(slab) = next {
                next = SlabList::after(slab);
                left = left.saturating_sub(LOOK_BYTES);
                if slab.is_sparse() {
                    let since = slab.since_last_tick();
                    if since == SinceTick::Unchanged || (all && since == SinceTick::Changed) {
                        left = left.saturating_sub(self.purge_one(slab));
                    }
                    // Long blocks come and go in sparse slabs.
                    is_done &= since != SinceTick::Changed && !is_long(class);
                }
                if left == 0 {
                    return most_bytes;
                }
            }
            if is_done {
                self.sparse.set(self.sparse.get() & !(1 << class.index()));
            }
        }
        most_bytes.wrapping_sub(left)
    }

    /// Purges the pages inside a partial slab, which then comes after those with pages at hand.
    /// Returns the bytes purged or looked at. For the holder of the lists' lock.
    fn purge_one(&'static self, slab: &'static Slab) -> usize {
        self.forget(slab);
        let purged = depot::purge_inside(slab);
        if slab.has_absent() {
            let partial = self.slabs.partial(slab.class());
            partial.remove(slab);
            partial.push_last(slab);
        } else if !is_long(slab.class()) {
            slab.watch_for_half();
        }
        // A walk of short blocks takes as long as half a unit's purge.
        purged.max(UNIT_BYTES / 2)
    }

    /// Bytes of free blocks inside partial slabs whose pages are there. For the holder of the
    /// lists' lock.
    fn free_inside(&'static self) -> usize {
        let partial = |class| self.slabs.partial(class).first();
        let slabs = |class| core::iter::successors(partial(class), |slab| SlabList::after(slab));
        let resident =
            |slab: &Slab| if slab.has_resident_absent() { slab.available() } else { slab.listed() };
        let free = |slab: &Slab| (resident(slab) as usize).wrapping_mul(slab.block_bytes());
        Class::in_set(self.classes.get()).flat_map(slabs).map(free).sum()
    }

    /// Ends the heap's use by its thread: slabs with used blocks go to the shared heap.
    pub(crate) fn retire(&'static self) {
        self.trim();
        self.close_bins();
        let lists = self.lists.lock();
        self.owned.remove_all(|_| true);
        for class in Class::in_set(self.classes.get()) {
            let slab = self.slabs.current(class);
            self.set_current(class, &raw const EMPTY);
            if !ptr::eq(slab, &raw const EMPTY) {
                self.unkeep(slab);
                self.park_listed(slab);
            }
        }
        let is_much = self.free_inside() > ENDED_BYTES && options::get().purge_delay_ms != u64::MAX;
        drop(lists);
        if is_much {
            // Nobody may come by here for long.
            let _ = self.purge_inside(true, usize::MAX);
        }
        let lists = self.lists.lock();
        for class in Class::in_set(self.classes.get()) {
            shared::take_in(self, self.slabs.partial(class));
        }
        self.classes.set(0);
        self.units.store(0, Ordering::Relaxed);
        shared::take_in(self, &self.full);
        drop(lists);
        self.unpin_cleared();
        // Announcements from before the slabs changed their home. The heap's next thread passes
        // later ones on.
        self.collect();
        self.spares.give_back();
    }
}
