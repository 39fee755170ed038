//! Which slab, and which of its blocks, an address belongs to.
//!
//! Blocks are named by their *offset*, the bytes from the slab's first block, or by their *index*.

use core::ptr::{self, NonNull};

use super::Slab;
use crate::base::address::align_down;
use crate::base::atomic::Ordering;
use crate::base::config::{CHUNK_BYTES, RECORD_BYTES, UNIT_BYTES};
use crate::block::free_list::Block;

impl Slab {
    /// The slab that the unit at this record belongs to.
    pub(crate) fn first_unit(&'static self) -> &'static Self {
        self.around(0).0
    }

    /// The slab that the unit at this record belongs to, and the offset in it of `address`, which
    /// is in the unit.
    #[inline(always)]
    pub(crate) fn around(&'static self, address: usize) -> (&'static Self, usize) {
        let lead = usize::from(self.lead.load(Ordering::Relaxed));
        // SAFETY: `lead` counts records back inside the same chunk header.
        let slab = unsafe { &*ptr::from_ref(self).byte_sub(lead.wrapping_mul(RECORD_BYTES)) };
        (slab, lead.wrapping_mul(UNIT_BYTES).wrapping_add(address % UNIT_BYTES))
    }

    /// Address of the first block.
    pub(crate) fn base(&self) -> usize {
        let record = ptr::from_ref(self).addr();
        let chunk = align_down(record, CHUNK_BYTES);
        let unit = record.wrapping_sub(chunk) / RECORD_BYTES;
        chunk.wrapping_add(unit.wrapping_mul(UNIT_BYTES))
    }

    pub(super) fn pointer(&self, offset: u32) -> *mut u8 {
        ptr::with_exposed_provenance_mut(self.base().wrapping_add(offset as usize))
    }

    pub(super) fn offset_of(&self, block: *const u8) -> u32 {
        block.addr().wrapping_sub(self.base()) as u32
    }

    /// The token of the block at `offset`, which nobody has: it is not carved yet, or was given up.
    pub(super) fn block_at(&self, offset: u32) -> Block {
        // SAFETY: nobody has the block, and the pointer comes from the chunk's exposed mapping.
        unsafe { Block::from_raw(NonNull::new_unchecked(self.pointer(offset))) }
    }

    /// Index of the block that begins at `address`.
    pub(crate) fn index_at(&self, address: usize) -> usize {
        address.wrapping_sub(self.base()).checked_div(self.block_bytes()).unwrap_or(0)
    }

    /// Offset of the block at `index`.
    pub(super) fn offset_at(&self, index: usize) -> u32 {
        index.wrapping_mul(self.block_bytes()) as u32
    }

    /// Whether `address` lies in the first unit. For the owner.
    #[inline(always)]
    pub(crate) fn begins_around(&self, address: usize) -> bool {
        address / UNIT_BYTES == self.unit.get()
    }

    /// Whether a carved block begins at `address`, in the first unit. For the owner. Divisibility
    /// by multiplication with the inverse modulo 2^32 (Lemire, Kaser and Kurz 2019): exact for
    /// dividends of 16 bits and divisors up to 2^13, those of slabs of one unit.
    #[inline(always)]
    pub(crate) fn has_block_in_first_unit(&self, address: usize) -> bool {
        let offset = address % UNIT_BYTES;
        offset < self.carved_bytes.get()
            && (offset as u32).wrapping_mul(self.inverse.get()) < self.bound.get()
    }

    /// Whether a carved block begins at `address`.
    pub(crate) fn has_block_at(&self, address: usize) -> bool {
        self.has_block(address.wrapping_sub(self.base()))
    }

    /// Whether a carved block begins at `offset`. As in
    /// [`has_block_in_first_unit`](Self::has_block_in_first_unit), exact for dividends and divisors
    /// of 32 bits.
    #[inline]
    pub(crate) fn has_block(&self, offset: usize) -> bool {
        let inverse = self.long_inverse.get();
        offset < self.carved_bytes() && (offset as u64).wrapping_mul(inverse) < inverse
    }
}
