//! Frees of one block: from its address to its slab, and to the bit or the list that says it is
//! free.

use core::ptr::{self, NonNull};

use super::backing::Backing;
use super::bitmap::{self, Bitmaps};
use super::engine::{Engine, FREEING};
use super::table::Use;
use crate::block::free_list::{self, Block};
use crate::memory::chunk;
use crate::memory::slab::Slab;
use crate::os::fatal;

impl Engine {
    /// The slab of the block at `address`, used or free, and the block's index in it.
    pub(super) fn block_at(&self, address: usize) -> Option<(&'static Slab, usize)> {
        if !self.contains(address) || chunk::is_header(address) {
            return None;
        }
        let Use::Slabs { .. } = self.in_force().get(self.area_index(address)) else { return None };
        // SAFETY: a chunk of slabs has records, and the address is not in its header.
        let slab = unsafe { &*chunk::record_at(address) }.first_unit();
        if !self.owns(slab) {
            return None;
        }
        Some((slab, slab.index_of(address)?))
    }

    /// Whether a block in use begins at `address`. For heaps with bitmaps.
    pub(super) fn is_used(&self, address: usize) -> bool {
        match self.block_at(address) {
            // SAFETY: a slab of a heap with bitmaps, mapped with it.
            Some((slab, index)) => unsafe { Bitmaps::of(slab) }.in_force().has(bitmap::unit_of(slab), index),
            None => self.span_at(address).is_some(),
        }
    }

    /// Frees the block or the span at `start`, and reports an address that has neither.
    ///
    /// # Safety
    /// The caller gives up the block, if there is one.
    pub(super) unsafe fn free<B: Backing>(&'static self, start: NonNull<u8>) {
        let address = start.addr().get();
        match self.block_at(address) {
            // SAFETY: forwarded to the caller.
            Some((slab, index)) if B::HAS_BITMAPS => unsafe { self.free_by_bitmap(slab, index, start) },
            // SAFETY: forwarded to the caller.
            Some((slab, _)) => unsafe { self.free_to_list(slab, start) },
            None if self.free_span::<B>(address) => {}
            None => fatal::caught("free of an address that is no allocation of this heap", address),
        }
    }

    unsafe fn free_to_list(&'static self, slab: &'static Slab, start: NonNull<u8>) {
        let address = start.addr().get();
        // SAFETY: blocks have at least two words.
        if unsafe { free_list::looks_free(start.as_ptr()) } && slab.is_listed(address) {
            return fatal::caught("double free", address);
        }
        // SAFETY: the caller gives up the block, and the pointer has the range's provenance.
        let block = unsafe { Block::from_raw(reexposed(start)) };
        self.relist::<false>(slab, slab.push(block));
    }

    unsafe fn free_by_bitmap(&'static self, slab: &'static Slab, index: usize, start: NonNull<u8>) {
        let unit = bitmap::unit_of(slab);
        // SAFETY: a slab of a heap with bitmaps, mapped with it.
        let bitmaps = unsafe { Bitmaps::of(slab) };
        if !bitmaps.in_force().has(unit, index) {
            return fatal::caught("double free", start.addr().get());
        }
        self.intend(start.addr().get() | FREEING);
        bitmaps.transient().changed.set(true);
        self.changed.set(true);
        bitmaps.in_force().clear(unit, index);
        // A block that was used at the last sync, or may have been, stays as it is until the next.
        if !self.in_doubt.get() && !self.synced_bitmap_of(slab).is_some_and(|synced| synced.has(unit, index))
        {
            self.relist::<true>(slab, slab.take_back(index));
        }
        self.intend(0);
    }
}

/// The same address with the provenance of the heap's range, which the caller's pointer may lack.
#[inline(always)]
pub(super) fn reexposed(start: NonNull<u8>) -> NonNull<u8> {
    // SAFETY: the address of a pointer that is not null.
    unsafe { NonNull::new_unchecked(ptr::with_exposed_provenance_mut(start.addr().get())) }
}
