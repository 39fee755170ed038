//! A heap's range: chunks for slabs, spans for what is longer, and what goes back to the kernel.

use core::alloc::Layout;
use core::ptr::{self, NonNull};

use super::backing::Backing;
use super::books::{self, Books};
use super::engine::{ALLOCATING, Engine, FREEING, Fresh};
use super::table::{Use, find, free_places, units_of};
use crate::base::atomic::Ordering;
use crate::base::config::{CHUNK_BYTES, RECORD_BYTES, UNIT_BYTES, UNITS};
use crate::block::size_class::Class;
use crate::memory::chunk::{Chunk, State};
use crate::memory::slab::Slab;

impl Engine {
    /// Units for a slab of `class`, and whether they read as zero. The slab is not open yet.
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
        if B::BOOKED {
            // SAFETY: a booked heap's slab.
            let beside = unsafe { Books::of(slab) }.beside();
            let run = (u64::MAX >> UNITS.wrapping_sub(units)) << books::unit_of(slab);
            if beside.holes.get() & run != 0 {
                let start = chunk.base().wrapping_add(books::unit_of(slab).wrapping_mul(UNIT_BYTES));
                if !backing.prepare(start, units.wrapping_mul(UNIT_BYTES)) {
                    let state = if zero { State::Clean } else { State::Dirty };
                    self.chunks.change(chunk, |chunk| chunk.put_units(run, state));
                    return None;
                }
                beside.holes.set(beside.holes.get() & !run);
            }
        }
        Some((slab, zero))
    }

    /// Makes a free place a chunk with a run of at least `units` free units.
    fn make_chunk<B: Backing>(&'static self, backing: &B, units: usize) -> Option<&'static Chunk> {
        let geometry = self.geometry.get();
        let least = units.wrapping_add(header_units::<B>()).wrapping_mul(UNIT_BYTES);
        let index =
            find(self.now(), self.then(), geometry.chunks(), 1, |index| geometry.bytes_from(index) >= least)?;
        let bytes = geometry.bytes_from(index).min(CHUNK_BYTES);
        let base = self.chunk_address(index);
        if !backing.prepare(base, bytes) {
            return None;
        }
        let zero = self.now().get(index) == Use::Free { zero: true };
        self.occupy(index, 1);
        // SAFETY: the place is free, so its memory is this function's own, and as long as that.
        let chunk = unsafe { self.lay_out::<B>(base, bytes / UNIT_BYTES) };
        if !zero {
            chunk.put_units(chunk.free_units(), State::Dirty);
        }
        if B::BOOKED {
            let books = self.books(index);
            books.beside().changed.set(true);
            books.beside().holes.set(0);
            if !zero {
                books.now().reset();
            }
        }
        self.now().set(index, Use::SLABS);
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

    /// Raises the top over `chunks` places from `index` on, before they become something.
    fn occupy(&self, index: usize, chunks: usize) {
        let end = index.wrapping_add(chunks);
        if end > self.top() {
            self.top.store(end, Ordering::Release);
        }
        for inside in index..end {
            // Inside a span nobody looks; when it ends they are free, and hold anything.
            self.now().set(inside, Use::DIRTY);
        }
    }

    /// Gives a slab's units back. No block is used, nor was one at the last sync; it is on no list.
    pub(super) fn release<const BOOKED: bool>(&'static self, slab: &'static Slab) {
        let index = self.chunk_index(slab.base());
        if BOOKED {
            let books = self.books(index);
            books.beside().changed.set(true);
            books.now().set_class(books::unit_of(slab), None);
        }
        slab.close();
        // SAFETY: a slab's chunk is mapped.
        let chunk = unsafe { Chunk::at(self.chunk_address(index)) };
        let _ = self.chunks.change(chunk, |chunk| chunk.put(slab));
    }

    // ---- spans ----

    /// A block that is a run of whole chunks' worth.
    pub(super) fn take_span<B: Backing>(&'static self, backing: &B, layout: Layout) -> Option<Fresh> {
        let geometry = self.geometry.get();
        let units = units_of(layout.size().max(1));
        let bytes = units.checked_mul(UNIT_BYTES)?;
        let fits = |index: usize| {
            self.chunk_address(index).is_multiple_of(layout.align()) && geometry.bytes_from(index) >= bytes
        };
        let index = find(self.now(), self.then(), geometry.chunks(), bytes, fits)?;
        let start = self.chunk_address(index);
        if !backing.prepare(start, bytes) {
            return None;
        }
        let chunks = bytes.div_ceil(CHUNK_BYTES);
        let zero =
            (index..index.wrapping_add(chunks)).all(|at| self.now().get(at) == Use::Free { zero: true });
        self.occupy(index, chunks);
        self.changed.set(true);
        self.intend(start | ALLOCATING);
        self.now().set(index, Use::Span { units });
        self.intend(0);
        Some(Fresh { start: NonNull::new(ptr::with_exposed_provenance_mut(start))?, zero })
    }

    /// Units of the span that begins at `address`, if one does.
    pub(super) fn span_at(&self, address: usize) -> Option<usize> {
        if !self.contains(address) || !address.is_multiple_of(CHUNK_BYTES) {
            return None;
        }
        match self.now().get(self.chunk_index(address)) {
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
        self.now().set(self.chunk_index(address), Use::DIRTY);
        self.intend(0);
        true
    }

    /// Makes the span at `address` long enough for `size` bytes, where it is: cuts it, or takes
    /// in free places behind it. False where that cannot be.
    pub(super) fn resize_span<B: Backing>(&'static self, backing: &B, address: usize, size: usize) -> bool {
        let Some(units) = self.span_at(address) else { return false };
        let wanted = units_of(size);
        let index = self.chunk_index(address);
        let (chunks, more) = (units.div_ceil(UNITS), wanted.div_ceil(UNITS));
        let Some(bytes) = wanted.checked_mul(UNIT_BYTES) else { return false };
        if bytes > self.geometry.get().bytes_from(index) || wanted > units && self.doubt.get() {
            return false;
        }
        if wanted > units {
            let (from, to) = (index.wrapping_add(chunks), index.wrapping_add(more));
            let free = free_places(self.now(), self.then(), to).filter(|at| *at >= from).count();
            // What lies behind the last unit in the same chunk's worth was never part of it, but
            // may have been when it was longer at the last sync: then the places are not free.
            let grew = from >= to || free == to.wrapping_sub(from);
            if !grew || !backing.prepare(address, bytes) {
                return false;
            }
            self.occupy_behind(from, to);
        }
        self.changed.set(true);
        self.now().set(index, Use::Span { units: wanted });
        true
    }

    fn occupy_behind(&self, from: usize, to: usize) {
        if from < to {
            self.occupy(from, to.wrapping_sub(from));
        }
    }

    // ---- back to the kernel ----

    /// Gives up slabs that nobody uses, and chunks that have none.
    pub(super) fn gather_up<B: Backing>(&'static self, _backing: &B) {
        self.each_current(|slab| {
            if !B::BOOKED && slab.used() == 0 {
                self.unlist(slab);
                self.release::<false>(slab);
            }
        });
        for (index, what) in self.now().walk(self.top()) {
            let Use::Slabs { .. } = what else { continue };
            if B::BOOKED {
                self.release_unused(index);
            }
            // SAFETY: the table says that it is one.
            let chunk = unsafe { Chunk::at(self.chunk_address(index)) };
            let all = usize::from(chunk.mapped_units()).wrapping_sub(header_units::<B>());
            if chunk.free_units().count_ones() as usize == all {
                self.chunks.unlist(chunk);
                self.now().set(index, Use::DIRTY);
                self.changed.set(true);
            }
        }
    }

    /// Releases the slabs of a chunk of which no block is used, nor was at the last sync.
    fn release_unused(&'static self, index: usize) {
        let now = self.books(index).now();
        let then = self.page_then(index);
        for (unit, _) in now.slabs() {
            if now.is_unused(unit) && then.is_none_or(|then| then.is_unused(unit)) {
                let slab = self.slab(index, unit);
                self.unlist(slab);
                self.release::<true>(slab);
            }
        }
    }

    /// The record of a unit.
    pub(super) fn slab(&self, index: usize, unit: usize) -> &'static Slab {
        let record = self.chunk_address(index).wrapping_add(unit.wrapping_mul(RECORD_BYTES));
        // SAFETY: asked for units of chunks of slabs, whose headers have the records.
        unsafe { &*ptr::with_exposed_provenance(record) }
    }

    /// Gives back every page that holds nothing. The bytes.
    pub(super) fn purge<B: Backing>(&'static self, backing: &B) -> usize {
        if self.doubt.get() {
            return 0;
        }
        self.gather_up(backing);
        let mut purged = 0_usize;
        for (index, what) in self.now().walk(self.top()) {
            if let Use::Slabs { .. } = what {
                // SAFETY: the table says that it is one.
                let chunk = unsafe { Chunk::at(self.chunk_address(index)) };
                purged = purged.wrapping_add(self.purge_chunk(backing, index, chunk));
            }
        }
        for index in free_places(self.now(), self.then(), self.top()) {
            let bytes = self.geometry.get().bytes_from(index).min(CHUNK_BYTES);
            if self.now().get(index) == Use::DIRTY && backing.discard(self.chunk_address(index), bytes) {
                self.now().set(index, Use::Free { zero: true });
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
            if B::BOOKED {
                let holes = &self.books(index).beside().holes;
                holes.set(holes.get() | run.units);
            }
        }
        purged
    }
}

/// Units of a chunk that are in no slab.
pub(super) const fn header_units<B: Backing>() -> usize {
    if B::BOOKED { books::HEADER_UNITS } else { 1 }
}
