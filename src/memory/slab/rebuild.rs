//! A slab that is rebuilt from a bit map of its used blocks: first-class heaps keep one, see
//! `heaps::bitmap`.

use core::sync::atomic::Ordering;

use super::{Occupancy, Slab};

impl Slab {
    /// Index of the block that begins at `address`, if a carved one does.
    pub(crate) fn index_of(&self, address: usize) -> Option<usize> {
        if !self.has_block_at(address) {
            return None;
        }
        address.wrapping_sub(self.base()).checked_div(self.block_bytes())
    }

    /// Carved blocks: those ever handed out or linked.
    pub(crate) fn carved(&self) -> usize {
        self.carved.get() as usize
    }

    /// Makes each block that a slab just opened has room for a used one.
    pub(crate) fn use_all(&self) {
        self.carved.set(self.capacity.get());
        self.carved_bytes.set(self.capacity.get().wrapping_mul(self.block_bytes.get()));
        self.count.store(self.places().wrapping_sub(self.capacity.get().cast_signed()), Ordering::Relaxed);
    }

    /// Takes back the block at `index`, a used one that nobody holds.
    pub(crate) fn take_back(&self, index: usize) -> Occupancy {
        self.push(self.block_at(index.wrapping_mul(self.block_bytes()) as u32))
    }
}
