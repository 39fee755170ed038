//! What a heap gives back after a purge tick, and when its thread ends.

use core::ptr;

use super::{EMPTY, Heap, shared};
use crate::base::atomic::Ordering;
use crate::base::config::PURGE_STEP_BYTES;
use crate::block::size_class::Class;
use crate::memory::depot;
use crate::memory::slab::{SinceTick, SlabList};
use crate::os;

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
        self.purge_inside(false, PURGE_STEP_BYTES);
    }

    /// Purges the pages inside free blocks of partial slabs that have not changed since the last
    /// call, or of `all` whose pages were not purged since. Stops once `most_bytes` are purged,
    /// which one slab may exceed.
    pub(crate) fn purge_inside(&'static self, all: bool, most_bytes: usize) {
        let mut left = most_bytes;
        let least = os::page_bytes();
        let _lists = self.lists.lock();
        for class in Class::in_set(u128::MAX).filter(|class| class.shape().block as usize > least) {
            let partial = self.slabs.partial(class);
            for slab in core::iter::successors(partial.first(), |slab| SlabList::after(slab)) {
                let since = slab.since_last_tick();
                if since == SinceTick::Unchanged || (all && since == SinceTick::Changed) {
                    left = left.saturating_sub(depot::purge_inside(slab));
                    if left == 0 {
                        return;
                    }
                }
            }
        }
    }

    /// Ends the heap's use by its thread: slabs with used blocks go to the shared heap.
    pub(crate) fn retire(&'static self) {
        self.trim();
        self.close_bins();
        let lists = self.lists.lock();
        for entry in &self.owned {
            entry.store((&raw const EMPTY).cast_mut(), Ordering::Release);
        }
        for class in Class::in_set(self.classes.get()) {
            let slab = self.slabs.current(class);
            self.set_current(class, &raw const EMPTY);
            if !ptr::eq(slab, &raw const EMPTY) {
                self.unkeep(slab);
                self.park_listed(slab);
            }
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
