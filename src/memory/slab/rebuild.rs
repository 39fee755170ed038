//! A slab that is made again from what is known of its blocks out of line: first-class heaps keep
//! a bit a block, see `heaps::bitmap`.

use core::sync::atomic::Ordering;

use super::{Occupancy, Slab};

impl Slab {
    /// Which of the slab's blocks begins at `address`, if a carved one does.
    pub(crate) fn index_of(&self, address: usize) -> Option<usize> {
        if !self.has_block_at(address) {
            return None;
        }
        address.wrapping_sub(self.base()).checked_div(self.block_bytes())
    }

    /// How many blocks were ever handed out or linked.
    pub(crate) fn carved(&self) -> usize {
        self.carved.get() as usize
    }

    /// Makes every block of a slab that was just opened a used one.
    pub(crate) fn use_all(&self) {
        self.carved.set(self.capacity.get());
        self.carved_bytes.set(self.capacity().wrapping_mul(self.block_bytes()));
        self.count.store(self.capacity.get().cast_signed().wrapping_neg(), Ordering::Relaxed);
    }

    /// Takes back the `index`th block, a used one that nobody holds.
    pub(crate) fn take_back(&self, index: usize) -> Occupancy {
        self.push(self.block_at(index.wrapping_mul(self.block_bytes()) as u32))
    }
}
