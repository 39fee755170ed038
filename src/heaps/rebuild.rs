//! Records and lists rebuilt from the table and the bitmaps: when a file is opened, and
//! when a holder of the lock has died half-way through a change of them.

use super::backing::Backing;
use super::engine::{ALLOCATING, Engine, FREEING};
use super::space::header_units;
use super::table::Use;
use crate::base::config::{CHUNK_BYTES, UNIT_BYTES};
use crate::memory::chunk::State;

impl Engine {
    /// After the death of a holder of the lock: undoes a half-done allocation, finishes a half-done
    /// free, and rebuilds everything that follows from the bitmaps.
    #[cold]
    pub(super) fn recover<B: Backing>(&'static self, backing: &B) {
        // The intent is cleared last: a death in here leaves the recovery to the next holder.
        let intent = self.intent.load(core::sync::atomic::Ordering::Acquire);
        let address = intent & !(ALLOCATING | FREEING);
        if intent != 0 {
            self.undo_intent(address);
        }
        backing.resume_sync(self);
        self.rebuild(backing);
        self.intend(0);
        self.recoveries.set(self.recoveries.get().wrapping_add(1));
    }

    /// Marks the block at `address` free, since nobody has it: its allocation was not answered, or
    /// its free was requested.
    fn undo_intent(&'static self, address: usize) {
        self.changed.set(true);
        if self.span_at(address).is_some() {
            return self.in_force().set(self.area_index(address), Use::DIRTY);
        }
        // The slab's record may be torn, so the slab is found in the bitmap.
        let index = self.area_index(address);
        if !self.contains(address) || !matches!(self.in_force().get(index), Use::Slabs { .. }) {
            return;
        }
        let offset = address.wrapping_sub(self.area_address(index));
        let bitmaps = self.bitmaps(index);
        for (unit, class) in bitmaps.in_force().slabs() {
            let shape = class.shape();
            let inside = offset.wrapping_sub(unit.wrapping_mul(UNIT_BYTES));
            if inside < (shape.units as usize).wrapping_mul(UNIT_BYTES)
                && let Some(block) = inside.checked_div(shape.block as usize)
            {
                bitmaps.transient().changed.set(true);
                bitmaps.in_force().clear(unit, block);
            }
        }
    }

    /// Rebuilds lists, chunk headers and slabs' records. No block moves.
    pub(super) fn rebuild<B: Backing>(&'static self, _: &B) {
        self.clear();
        for (index, what) in self.in_force().walk(self.top()) {
            if let Use::Slabs { .. } = what {
                self.rebuild_chunk::<B>(index);
            }
        }
    }

    fn rebuild_chunk<B: Backing>(&'static self, index: usize) {
        let units = self.geometry.get().bytes_from(index).min(CHUNK_BYTES) / UNIT_BYTES;
        // SAFETY: the lists are forgotten, so nothing refers into the header.
        let chunk = unsafe { self.lay_out::<B>(self.area_address(index), units) };
        let bitmaps = self.bitmaps(index);
        let (in_force, synced) = (bitmaps.in_force(), self.synced_bitmap(index));
        for (unit, class) in in_force.slabs() {
            let used = in_force.used(unit);
            if used == 0 && synced.is_none_or(|synced| synced.is_unused(unit)) {
                in_force.set_class(unit, None);
                bitmaps.transient().changed.set(true);
                continue;
            }
            let shape = class.shape();
            let slab = chunk.claim(unit as u32, shape.units as usize);
            self.reopen(slab, class);
            // Its free blocks are linked when the slab becomes current: rebuilding touches no
            // block.
            if used < shape.capacity as usize {
                self.list_partial(slab);
            } else {
                self.list_full(slab);
            }
        }
        let free = chunk.free_units();
        chunk.put_units(free, State::Dirty);
        bitmaps.transient().holes.set(free);
        self.chunks.list(chunk);
    }

    /// Checks what must hold of the table, the bitmaps and the records. An error is the invariant
    /// that does not hold.
    pub(super) fn verify<B: Backing>(&'static self) -> Result<(), &'static str> {
        for (index, what) in self.in_force().walk(self.top()) {
            match what {
                Use::Free { .. } => {}
                Use::Span { units } => {
                    let bytes = units.saturating_mul(UNIT_BYTES);
                    if units == 0 || bytes > self.geometry.get().bytes_from(index) {
                        return Err("a span lies in the heap's range");
                    }
                }
                Use::Slabs { .. } if B::HAS_BITMAPS => self.verify_chunk::<B>(index)?,
                Use::Slabs { .. } => {}
            }
        }
        Ok(())
    }

    fn verify_chunk<B: Backing>(&'static self, index: usize) -> Result<(), &'static str> {
        let (in_force, synced) = (self.bitmaps(index).in_force(), self.synced_bitmap(index));
        if in_force.is_malformed() {
            return Err("a chunk's bitmap names blocks of its slabs only");
        }
        let mut taken = (1_u64 << header_units::<B>()).wrapping_sub(1);
        for (unit, class) in in_force.slabs() {
            let slab = self.slab(index, unit);
            if !self.owns(slab) || slab.class() != class {
                return Err("a slab's record is what the bitmap says");
            }
            taken |= (u64::MAX >> 64_usize.wrapping_sub(slab.units())) << unit;
            // Each block is used, free since the last sync, on the free list, or not linked yet.
            let mut free = 0_usize;
            in_force.each_free(synced, unit, slab.carved(), |_| free = free.wrapping_add(1));
            if (slab.available() as usize) > free {
                return Err("a block on a slab's free list is free in the bitmap");
            }
            if in_force.used(unit) > slab.carved() {
                return Err("a used block was carved");
            }
        }
        // SAFETY: the table says that it is a chunk.
        let chunk = unsafe { crate::memory::chunk::Chunk::at(self.area_address(index)) };
        let mapped = u64::MAX >> 64_usize.wrapping_sub(usize::from(chunk.mapped_units()));
        if chunk.free_units() != mapped & !taken {
            return Err("a unit is free or in a slab");
        }
        Ok(())
    }
}
