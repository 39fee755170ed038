//! Allocation of one block, from a slab of its class or as a span.

use core::alloc::Layout;
use core::ptr::NonNull;

use super::backing::Backing;
use super::bitmap::{self, Bitmaps};
use super::engine::{ALLOCATING, Engine};
use crate::base::atomic::Ordering;
use crate::block::size_class::{Class, Route, route};
use crate::memory::slab::{Carved, Slab, SlabState};

/// Memory for a block.
pub(super) struct Fresh {
    pub(super) start: NonNull<u8>,
    /// Whether it reads as zero.
    pub(super) zero: bool,
}

impl Engine {
    /// A block for `layout`. Unused slabs and chunks are given up for it where nothing else is
    /// left.
    pub(super) fn allocate<B: Backing>(&'static self, backing: &B, layout: Layout) -> Option<Fresh> {
        if self.in_doubt.get() {
            return None;
        }
        match self.try_allocate(backing, layout) {
            Some(fresh) => Some(fresh),
            None => {
                // Units of unused slabs, and areas of unused chunks, may be enough.
                self.reclaim(backing);
                self.try_allocate(backing, layout)
            }
        }
    }

    fn try_allocate<B: Backing>(&'static self, backing: &B, layout: Layout) -> Option<Fresh> {
        let Route::Small(class) = route(layout) else { return self.take_span(backing, layout) };
        let Carved { block, zero } = self.take_block(backing, class)?;
        if B::HAS_BITMAPS {
            self.mark_used(block.address());
        }
        let start = if zero { block.into_raw() } else { block.hand_out() };
        Some(Fresh { start, zero })
    }

    /// Sets the bit of the block at `address`.
    fn mark_used(&self, address: usize) {
        let Some((slab, index)) = self.block_at(address) else { return };
        self.intend(address | ALLOCATING);
        // SAFETY: a slab of a heap with bitmaps, mapped with it.
        let bitmaps = unsafe { Bitmaps::of(slab) };
        bitmaps.transient().changed.set(true);
        self.changed.set(true);
        bitmaps.in_force().set(bitmap::unit_of(slab), index);
        self.intend(0);
    }

    /// Sets the [intent](Engine::intent).
    ///
    /// The release orders it after every earlier write of this thread. That is enough: the lock is
    /// what orders the survivors' reads after the last write of a holder that died.
    pub(super) fn intend(&self, intent: usize) {
        self.intent.store(intent, Ordering::Release);
    }

    /// A block of `class`, whose bit is not set yet.
    fn take_block<B: Backing>(&'static self, backing: &B, class: Class) -> Option<Carved> {
        loop {
            let slab = self.slabs.current(class);
            if let Some(block) = slab.pop_any() {
                return Some(Carved { block, zero: false });
            }
            if slab.has_uncarved() {
                return Some(slab.carve());
            }
            if self.link_free::<B>(slab) {
                continue;
            }
            let next = match self.next_partial::<B>(class) {
                Some(next) => next,
                None => self.open_slab(backing, class)?,
            };
            if !self.is_empty_slab(slab) {
                self.list_full(slab);
            }
            self.move_to(next, SlabState::Current);
            self.slabs.set_current(class, next);
        }
    }

    /// The next slab of `class` with a block to give, taken off its list.
    fn next_partial<B: Backing>(&'static self, class: Class) -> Option<&'static Slab> {
        let partial = self.slabs.partial(class);
        while let Some(slab) = partial.pop() {
            if slab.available() > 0 || slab.has_uncarved() || self.link_free::<B>(slab) {
                return Some(slab);
            }
            self.list_full(slab);
        }
        None
    }

    /// Links the blocks that the bitmap calls free in a slab whose list is empty. They were free
    /// when the record was rebuilt, or freed before the last sync. Whether there were any.
    fn link_free<B: Backing>(&self, slab: &'static Slab) -> bool {
        if !B::HAS_BITMAPS || self.is_empty_slab(slab) {
            return false;
        }
        let mut found = false;
        // SAFETY: a slab of a heap with bitmaps, mapped with it.
        let in_force = unsafe { Bitmaps::of(slab) }.in_force();
        in_force.each_free(self.synced_bitmap_of(slab), bitmap::unit_of(slab), slab.carved(), |index| {
            let _ = slab.take_back(index);
            found = true;
        });
        found
    }

    /// Opens a slab as full of used blocks, whatever its bitmap says; on no list.
    pub(super) fn reopen(&'static self, slab: &'static Slab, class: Class) {
        slab.open(class, false, &self.slow_home);
        slab.use_all();
    }

    /// A new slab of `class`; on no list.
    fn open_slab<B: Backing>(&'static self, backing: &B, class: Class) -> Option<&'static Slab> {
        let (slab, zero) = self.acquire(backing, class)?;
        slab.open(class, zero, &self.slow_home);
        if B::HAS_BITMAPS {
            // SAFETY: a slab of a heap with bitmaps, mapped with it.
            let bitmaps = unsafe { Bitmaps::of(slab) };
            bitmaps.transient().changed.set(true);
            bitmaps.in_force().set_class(bitmap::unit_of(slab), Some(class));
        }
        Some(slab)
    }
}
