//! What an allocation does when the current slab has no free block at hand.

use core::ptr;

use super::{EMPTY, Heap, help, shared};
use crate::base::atomic::Ordering;
use crate::block::free_list::Block;
use crate::block::size_class::Class;
use crate::memory::depot;
use crate::memory::slab::{Carved, Slab};
use crate::policy::options;

/// A block that a slow path found.
pub(crate) struct Found {
    pub(crate) block: Block,
    /// Whether it reads as zero.
    pub(crate) zero: bool,
}

impl From<Carved> for Found {
    fn from(carved: Carved) -> Self {
        Self { block: carved.block, zero: carved.zero }
    }
}

impl Heap {
    /// A block of a spare slab of `class`, if there is one and no purge tick has passed: a loop
    /// over one long block takes this way every time.
    #[inline]
    pub(crate) fn pop_spare(&'static self, class: Class) -> Option<Block> {
        if !ptr::eq(self.slabs.current(class), &raw const EMPTY)
            || depot::purge_ticks() != self.ticks_seen.get()
        {
            return None;
        }
        let spare = self.take_spare(class)?;
        spare.open_again(&self.inbox);
        self.count_units(spare, 1);
        self.make_current(class, spare);
        self.pop_any(class)
    }

    /// A block of `class` after [`pop`](Self::pop) found none. The sources, in this order: remote
    /// frees, a partial slab, uncarved pages, a spare or abandoned slab, the depot.
    pub(crate) fn refill(&'static self, class: Class) -> Option<Found> {
        self.tally.refilled(class);
        self.calls.set(self.calls.get().wrapping_add(1));
        self.note_requested_at_times();
        self.unpin_cleared();
        if depot::purge_ticks() == self.ticks_seen.get() {
            self.collect();
        } else {
            self.trim();
        }
        loop {
            let slab = self.slabs.current(class);
            if let Some(block) = self.take_from(slab) {
                self.fill_bin(class, slab);
                return Some(Found { block, zero: false });
            }
            let partial = self.take_partial(class, slab);
            if self.bins.note_refill(class, partial) {
                self.open_bin(class);
            }
            let next = match partial {
                Some(partial) => partial,
                None if slab.has_uncarved() => return self.carve_charged(slab),
                None => self.acquire(class)?,
            };
            if partial.is_none() {
                self.count_units(next, 1);
            }
            self.replace_current(class, next);
        }
    }

    /// A block of a current slab that has uncarved ones.
    pub(super) fn carve(&self, slab: &'static Slab) -> Found {
        self.unkeep(slab);
        let from = slab.carved_bytes();
        let carved = slab.carve();
        slab.prepare_carved(from, &carved);
        carved.into()
    }

    /// An open slab of `class` that no list of this heap has yet: a spare, an abandoned one, one of
    /// the depot.
    fn acquire(&'static self, class: Class) -> Option<&'static Slab> {
        if shared::is_shared(&self.inbox) {
            // The depot is not to be called under the shared heap's lock: `shared::refill` does so
            // afterwards.
            return None;
        }
        if let Some(spare) = self.take_spare(class) {
            spare.open_again(&self.inbox);
            return Some(spare);
        }
        if let Some(abandoned) = shared::adopt(class, self) {
            return Some(abandoned);
        }
        let mut found = depot::acquire_resident(class);
        if found.is_none() {
            // Before more becomes resident, the depot may cut this heap's spares of other classes
            // anew.
            self.spares.give_back();
            if depot::has_grown()
                && help::instead_of_growing(self)
                && let Some(abandoned) = shared::adopt(class, self)
            {
                return Some(abandoned);
            }
            found = depot::acquire(class);
        }
        let (slab, zero) = found?;
        slab.open(class, zero, &self.inbox);
        self.owned.make_far(self.units.load(Ordering::Relaxed) as usize);
        if options::get().populate {
            slab.populate();
        }
        Some(slab)
    }
}
