//! Records, free lists and bins made again from the table and the books: when a file is opened, and
//! when a user of the heap has died half-way through a change of them.

use super::backing::Backing;
use super::engine::{ALLOCATING, Engine, FREEING};
use super::space::header_units;
use super::table::Use;
use crate::base::config::{CHUNK_BYTES, UNIT_BYTES};
use crate::memory::chunk::State;

impl Engine {
    /// After the death of somebody who held the lock: the half-done step is undone or finished,
    /// and everything that follows from the books is made again.
    #[cold]
    pub(super) fn recover<B: Backing>(&'static self, backing: &B) {
        // What was in doubt is so until the end: whoever dies in here leaves it to the next.
        let intent = self.intent.load(core::sync::atomic::Ordering::Acquire);
        let address = intent & !(ALLOCATING | FREEING);
        if intent != 0 {
            self.take_back_intended(address);
        }
        backing.resume(self);
        self.rebuild(backing);
        self.intend(0);
        self.recoveries.set(self.recoveries.get().wrapping_add(1));
    }

    /// Nobody has the block, or will have it: an allocation was not answered, or a free was asked.
    fn take_back_intended(&'static self, address: usize) {
        self.changed.set(true);
        if self.span_at(address).is_some() {
            return self.now().set(self.chunk_index(address), Use::DIRTY);
        }
        // The slab's record may be torn, so its place is found in the books.
        let index = self.chunk_index(address);
        if !self.contains(address) || !matches!(self.now().get(index), Use::Slabs { .. }) {
            return;
        }
        let offset = address.wrapping_sub(self.chunk_address(index));
        let books = self.books(index);
        for (unit, class) in books.now().slabs() {
            let shape = class.shape();
            let place = offset.wrapping_sub(unit.wrapping_mul(UNIT_BYTES));
            if place < (shape.units as usize).wrapping_mul(UNIT_BYTES)
                && let Some(block) = place.checked_div(shape.block as usize)
            {
                books.beside().changed.set(true);
                books.now().clear(unit, block);
            }
        }
    }

    /// Makes bins, lists, chunk headers and slabs' records again. What is used stays where it is.
    pub(super) fn rebuild<B: Backing>(&'static self, _: &B) {
        self.forget();
        for (index, what) in self.now().walk(self.top()) {
            if let Use::Slabs { .. } = what {
                self.rebuild_chunk::<B>(index);
            }
        }
    }

    fn rebuild_chunk<B: Backing>(&'static self, index: usize) {
        let units = self.geometry.get().bytes_from(index).min(CHUNK_BYTES) / UNIT_BYTES;
        // SAFETY: the bins and lists are forgotten, so nothing refers into the header.
        let chunk = unsafe { self.lay_out::<B>(self.chunk_address(index), units) };
        let books = self.books(index);
        let (now, then) = (books.now(), self.page_then(index));
        for (unit, class) in now.slabs() {
            let used = now.used(unit);
            if used == 0 && then.is_none_or(|then| then.is_unused(unit)) {
                now.set_class(unit, None);
                books.beside().changed.set(true);
                continue;
            }
            let shape = class.shape();
            let slab = chunk.claim(unit as u32, shape.units as usize);
            self.open_again(slab, class);
            // Its free blocks are linked when it is their turn.
            if used < shape.capacity as usize {
                self.wait(slab);
            } else {
                self.put_full(slab);
            }
        }
        let free = chunk.free_units();
        chunk.put_units(free, State::Dirty);
        books.beside().holes.set(free);
        self.chunks.list(chunk);
    }

    /// Recomputes what must hold, from the books on. What does not, in words.
    pub(super) fn verify<B: Backing>(&'static self) -> Result<(), &'static str> {
        for (index, what) in self.now().walk(self.top()) {
            match what {
                Use::Free { .. } => {}
                Use::Span { units } => {
                    let bytes = units.saturating_mul(UNIT_BYTES);
                    if units == 0 || bytes > self.geometry.get().bytes_from(index) {
                        return Err("a span lies in the heap's range");
                    }
                }
                Use::Slabs { .. } if B::BOOKED => self.verify_chunk::<B>(index)?,
                Use::Slabs { .. } => {}
            }
        }
        Ok(())
    }

    fn verify_chunk<B: Backing>(&'static self, index: usize) -> Result<(), &'static str> {
        let (now, then) = (self.books(index).now(), self.page_then(index));
        if now.strays() {
            return Err("a chunk's books name blocks of its slabs only");
        }
        let mut taken = (1_u64 << header_units::<B>()).wrapping_sub(1);
        for (unit, class) in now.slabs() {
            let slab = self.slab(index, unit);
            if !self.owns(slab) || slab.class() != class {
                return Err("a slab's record is what the books say");
            }
            taken |= (u64::MAX >> 64_usize.wrapping_sub(slab.units())) << unit;
            // Each block is used, free since the last sync, on the free list, or not linked yet.
            let mut free = 0_usize;
            now.each_free(then, unit, slab.carved(), |_| free = free.wrapping_add(1));
            if (slab.available() as usize) > free {
                return Err("a block on a slab's free list is free in the books");
            }
            if now.used(unit) > slab.carved() {
                return Err("a used block was carved");
            }
        }
        // SAFETY: the table says that it is a chunk.
        let chunk = unsafe { crate::memory::chunk::Chunk::at(self.chunk_address(index)) };
        let mapped = u64::MAX >> 64_usize.wrapping_sub(usize::from(chunk.mapped_units()));
        if chunk.free_units() != mapped & !taken {
            return Err("a unit is free or in a slab");
        }
        Ok(())
    }
}
