//! Areas of a heap's range: as chunks of slabs, as spans, and their pages' way back to the kernel.

use core::alloc::Layout;
use core::ptr::{self, NonNull};

use super::allocate::Fresh;
use super::backing::Backing;
use super::bitmap::{self, Bitmaps};
use super::engine::{ALLOCATING, Engine, FREEING};
use super::table::{Use, find_areas, free_areas, units_of};
use crate::base::atomic::Ordering;
use crate::base::config::{CHUNK_BYTES, RECORD_BYTES, UNIT_BYTES, UNITS};
use crate::block::size_class::Class;
use crate::memory::chunk::{Chunk, State};
use crate::memory::slab::Slab;

impl Engine {
    /// Units for a slab of `class`, which is not open yet, and whether they read as zero.
    pub(super) fn acquire<B: Backing>(
        &'static self,
        backing: &B,
        class: Class,
    ) -> Option<(&'static Slab, bool)> {
        let units = class.shape().units as usize;
        let chunk = match self.chunks.best(units) {
            Some(chunk) => chunk,
            None => self.make_chunk(backing, units)?,
        };
        let (slab, zero) = self.chunks.change(chunk, |chunk| chunk.take(units))?;
        if B::HAS_BITMAPS {
            // SAFETY: a slab of a heap with bitmaps, mapped with it.
            let transient = unsafe { Bitmaps::of(slab) }.transient();
            let run = (u64::MAX >> UNITS.wrapping_sub(units)) << bitmap::unit_of(slab);
            if transient.holes.get() & run != 0 {
                let start = chunk.base().wrapping_add(bitmap::unit_of(slab).wrapping_mul(UNIT_BYTES));
                if !backing.commit(start, units.wrapping_mul(UNIT_BYTES)) {
                    let state = if zero { State::Clean } else { State::Dirty };
                    self.chunks.change(chunk, |chunk| chunk.put_units(run, state));
                    return None;
                }
                transient.holes.set(transient.holes.get() & !run);
            }
        }
        Some((slab, zero))
    }

    /// Makes a free area a chunk with a run of at least `units` free units.
    fn make_chunk<B: Backing>(&'static self, backing: &B, units: usize) -> Option<&'static Chunk> {
        let geometry = self.geometry.get();
        let least = units.wrapping_add(header_units::<B>()).wrapping_mul(UNIT_BYTES);
        let index = find_areas(self.in_force(), self.synced(), geometry.areas(), 1, |index| {
            geometry.bytes_from(index) >= least
        })?;
        let bytes = geometry.bytes_from(index).min(CHUNK_BYTES);
        let base = self.area_address(index);
        if !backing.commit(base, bytes) {
            return None;
        }
        let zero = self.in_force().get(index) == Use::Free { zero: true };
        self.occupy(index, 1);
        // SAFETY: the area is free, so its memory is this function's own, and it is that long.
        let chunk = unsafe { self.lay_out::<B>(base, bytes / UNIT_BYTES) };
        if !zero {
            chunk.put_units(chunk.free_units(), State::Dirty);
        }
        if B::HAS_BITMAPS {
            let bitmaps = self.bitmaps(index);
            bitmaps.transient().changed.set(true);
            bitmaps.transient().holes.set(0);
            if !zero {
                bitmaps.in_force().reset();
            }
        }
        self.in_force().set(index, Use::SLABS);
        self.chunks.list(chunk);
        Some(chunk)
    }

    /// Writes the header of a chunk of `units` units, all free.
    ///
    /// # Safety
    /// The memory is the heap's, and nothing refers into it.
    pub(super) unsafe fn lay_out<B: Backing>(&self, base: usize, units: usize) -> &'static Chunk {
        // SAFETY: the base is not null; forwarded to the caller otherwise.
        unsafe {
            let start: NonNull<u8> = NonNull::new_unchecked(ptr::with_exposed_provenance_mut(base));
            start.write_bytes(0, RECORD_BYTES.wrapping_mul(UNITS));
            Chunk::init(start, units, header_units::<B>())
        }
    }

    /// Raises the top over `areas` areas from `index` on, before they become a chunk or a span.
    fn occupy(&self, index: usize, areas: usize) {
        let end = index.wrapping_add(areas);
        if end > self.top() {
            self.top.store(end, Ordering::Release);
        }
        for inside in index..end {
            // The words inside a span are not read. When it ends, the areas are free and not zero.
            self.in_force().set(inside, Use::DIRTY);
        }
    }

    /// Gives a slab's units back to its chunk. No block of it is used or was at the last sync, and
    /// it is on no list.
    pub(super) fn release<const HAS_BITMAPS: bool>(&'static self, slab: &'static Slab) {
        let index = self.area_index(slab.base());
        if HAS_BITMAPS {
            let bitmaps = self.bitmaps(index);
            bitmaps.transient().changed.set(true);
            bitmaps.in_force().set_class(bitmap::unit_of(slab), None);
        }
        slab.close();
        // SAFETY: a slab's chunk is mapped.
        let chunk = unsafe { Chunk::at(self.area_address(index)) };
        let _ = self.chunks.change(chunk, |chunk| chunk.put(slab));
    }

    // ---- spans ----

    /// A block that begins on an area: a span.
    pub(super) fn take_span<B: Backing>(&'static self, backing: &B, layout: Layout) -> Option<Fresh> {
        let geometry = self.geometry.get();
        let units = units_of(layout.size().max(1));
        let bytes = units.checked_mul(UNIT_BYTES)?;
        let fits = |index: usize| {
            self.area_address(index).is_multiple_of(layout.align()) && geometry.bytes_from(index) >= bytes
        };
        let index = find_areas(self.in_force(), self.synced(), geometry.areas(), bytes, fits)?;
        let start = self.area_address(index);
        if !backing.commit(start, bytes) {
            return None;
        }
        let areas = bytes.div_ceil(CHUNK_BYTES);
        let zero =
            (index..index.wrapping_add(areas)).all(|at| self.in_force().get(at) == Use::Free { zero: true });
        self.occupy(index, areas);
        self.changed.set(true);
        self.intend(start | ALLOCATING);
        self.in_force().set(index, Use::Span { units });
        self.intend(0);
        Some(Fresh { start: NonNull::new(ptr::with_exposed_provenance_mut(start))?, zero })
    }

    /// Units of the span that begins at `address`, if one does.
    pub(super) fn span_at(&self, address: usize) -> Option<usize> {
        if !self.contains(address) || !address.is_multiple_of(CHUNK_BYTES) {
            return None;
        }
        match self.in_force().get(self.area_index(address)) {
            Use::Span { units } => Some(units),
            Use::Free { .. } | Use::Slabs { .. } => None,
        }
    }

    /// Frees the span that begins at `address`. False where none does.
    pub(super) fn free_span<B: Backing>(&'static self, address: usize) -> bool {
        if self.span_at(address).is_none() {
            return false;
        }
        self.changed.set(true);
        self.intend(address | FREEING);
        self.in_force().set(self.area_index(address), Use::DIRTY);
        self.intend(0);
        true
    }

    /// Makes the span at `address` as long as `size` bytes need, in place: cuts it, or takes in
    /// free areas behind it. False where that cannot be.
    pub(super) fn resize_span<B: Backing>(&'static self, backing: &B, address: usize, size: usize) -> bool {
        let Some(units) = self.span_at(address) else { return false };
        let wanted = units_of(size);
        let index = self.area_index(address);
        let (areas, more) = (units.div_ceil(UNITS), wanted.div_ceil(UNITS));
        let Some(bytes) = wanted.checked_mul(UNIT_BYTES) else { return false };
        if bytes > self.geometry.get().bytes_from(index) || wanted > units && self.in_doubt.get() {
            return false;
        }
        if wanted > units {
            let (from, to) = (index.wrapping_add(areas), index.wrapping_add(more));
            let free = free_areas(self.in_force(), self.synced(), to).filter(|at| *at >= from).count();
            // Units behind the span in its last area are no other block's. Areas that it had at the
            // last sync, when it was longer, do not count as free.
            let grew = from >= to || free == to.wrapping_sub(from);
            if !grew || !backing.commit(address, bytes) {
                return false;
            }
            self.occupy_behind(from, to);
        }
        self.changed.set(true);
        self.in_force().set(index, Use::Span { units: wanted });
        true
    }

    /// As [`occupy`](Self::occupy), for the areas from `from` to `to`, if any.
    fn occupy_behind(&self, from: usize, to: usize) {
        if from < to {
            self.occupy(from, to.wrapping_sub(from));
        }
    }

    // ---- back to the kernel ----

    /// Gives up slabs without used blocks, and chunks without slabs.
    pub(super) fn reclaim<B: Backing>(&'static self, _backing: &B) {
        self.each_current(|slab| {
            if !B::HAS_BITMAPS && slab.used() == 0 {
                self.unlist(slab);
                self.release::<false>(slab);
            }
        });
        for (index, what) in self.in_force().walk(self.top()) {
            let Use::Slabs { .. } = what else { continue };
            if B::HAS_BITMAPS {
                self.release_unused(index);
            }
            // SAFETY: the table says that the area is a chunk.
            let chunk = unsafe { Chunk::at(self.area_address(index)) };
            let all = usize::from(chunk.mapped_units()).wrapping_sub(header_units::<B>());
            if chunk.free_units().count_ones() as usize == all {
                self.chunks.unlist(chunk);
                self.in_force().set(index, Use::DIRTY);
                self.changed.set(true);
            }
        }
    }

    /// Releases those slabs of a chunk that have no used block and had none at the last sync.
    fn release_unused(&'static self, index: usize) {
        let in_force = self.bitmaps(index).in_force();
        let synced = self.synced_bitmap(index);
        for (unit, _) in in_force.slabs() {
            if in_force.is_unused(unit) && synced.is_none_or(|synced| synced.is_unused(unit)) {
                let slab = self.slab(index, unit);
                self.unlist(slab);
                self.release::<true>(slab);
            }
        }
    }

    /// The record of a unit of the chunk at `index`.
    pub(super) fn slab(&self, index: usize, unit: usize) -> &'static Slab {
        let record = self.area_address(index).wrapping_add(unit.wrapping_mul(RECORD_BYTES));
        // SAFETY: callers name units of chunks of slabs, whose headers have the records.
        unsafe { &*ptr::with_exposed_provenance(record) }
    }

    /// Gives back every page without a block's or a record's bytes. Answers how many bytes.
    pub(super) fn purge<B: Backing>(&'static self, backing: &B) -> usize {
        if self.in_doubt.get() {
            return 0;
        }
        self.reclaim(backing);
        let mut purged = 0_usize;
        for (index, what) in self.in_force().walk(self.top()) {
            if let Use::Slabs { .. } = what {
                // SAFETY: the table says that the area is a chunk.
                let chunk = unsafe { Chunk::at(self.area_address(index)) };
                purged = purged.wrapping_add(self.purge_chunk(backing, index, chunk));
            }
        }
        for index in free_areas(self.in_force(), self.synced(), self.top()) {
            let bytes = self.geometry.get().bytes_from(index).min(CHUNK_BYTES);
            if self.in_force().get(index) == Use::DIRTY && backing.discard(self.area_address(index), bytes) {
                self.in_force().set(index, Use::Free { zero: true });
                purged = purged.wrapping_add(bytes);
            }
        }
        self.purged_bytes.set(self.purged_bytes.get().wrapping_add(purged as u64));
        purged
    }

    fn purge_chunk<B: Backing>(&'static self, backing: &B, index: usize, chunk: &'static Chunk) -> usize {
        let mut purged = 0_usize;
        chunk.age();
        while let Some(run) = self.chunks.change(chunk, |chunk| chunk.take_stale(UNITS)) {
            let clean = backing.discard(run.start, run.bytes);
            let state = if clean { State::Clean } else { State::Dirty };
            self.chunks.change(chunk, |chunk| chunk.put_units(run.units, state));
            if clean {
                purged = purged.wrapping_add(run.bytes);
            }
            if B::HAS_BITMAPS {
                let holes = &self.bitmaps(index).transient().holes;
                holes.set(holes.get() | run.units);
            }
        }
        purged
    }
}

/// Units of a chunk's header.
pub(super) const fn header_units<B: Backing>() -> usize {
    if B::HAS_BITMAPS { bitmap::HEADER_UNITS } else { 1 }
}
