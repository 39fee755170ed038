//! The state of one heap: lists of slabs over chunks in one range of addresses.
//!
//! The state lies in the heap's own range, so that every process that maps the range has it.
//! Size classes, slabs, free lists and chunks are the global allocator's. No free is remote:
//! whoever changes anything is alone, as the owner of a private heap or the holder of the lock.
//!
//! `allocate.rs` and `free.rs` hold the paths of one block, `space.rs` those of chunks and spans.

use core::cell::Cell;
use core::ptr::{self, NonNull};

use static_assertions::const_assert;

use super::bitmap::{Bitmap, Bitmaps};
use super::geometry::{self, Geometry};
use super::table::{Table, Use};
use crate::base::atomic::{AtomicUsize, Ordering};
use crate::base::config::CHUNK_BYTES;
use crate::block::free_list::Block;
use crate::block::hardening;
use crate::block::size_class::{CLASSES, Class};
use crate::memory::chunk::by_run::ByRun;
use crate::memory::slab::{Inbox, Occupancy, Slab, SlabList, SlabState, SlabsByClass};
use crate::os::fatal;
use crate::os::mutex::SharedMutex;

/// Flag of an [intent](Engine::intent): its block is being allocated.
pub(super) const ALLOCATING: usize = 1;
/// Flag of an [intent](Engine::intent): its block is being freed.
pub(super) const FREEING: usize = 2;

/// The state of one heap.
///
/// One thread at a time touches it, the lock excepted. `start` and `geometry` never change, and are
/// read without the lock.
#[repr(C, align(128))]
pub struct Engine {
    /// Held by whoever uses a shared or file heap.
    pub(super) mutex: SharedMutex,
    /// Home of the slabs whose blocks [`Heap::deallocate`](super::Heap::deallocate) may push
    /// inline. Only its address counts: no remote free is ever announced in it.
    fast_home: Inbox,
    /// Home of the other slabs. A free into a full slab moves the slab to another list. In a slab
    /// of several units only the first unit has a record.
    pub(super) slow_home: Inbox,
    /// The current slab of a class that has none. Never written again once it is made.
    empty: Slab,
    pub(super) slabs: SlabsByClass,
    /// Slabs without a linked or uncarved block, the latest first.
    full: SlabList,
    /// Chunks with free units.
    pub(super) chunks: ByRun,
    /// Address of the range's first byte.
    pub(super) start: Cell<usize>,
    pub(super) geometry: Cell<Geometry>,
    /// Areas of the range that were ever used: all of those behind are free.
    pub(super) top: AtomicUsize,
    /// Index of the last sync's table, 1 or 2; zero where there was no sync.
    pub(super) synced_table: Cell<usize>,
    /// Address of the block that is being allocated or freed, with [`ALLOCATING`] or [`FREEING`];
    /// else zero. If the holder of the lock dies, recovery marks the block free: the allocation was
    /// not answered, and the free was requested.
    pub(super) intent: AtomicUsize,
    /// Whether anything was allocated, freed or made the root since the last sync.
    pub(super) changed: Cell<bool>,
    /// Whether the disk may have the superblock of a failed sync beside the last one's. Until a
    /// sync settles it both states must stay whole: nothing is allocated, linked, grown or purged.
    pub(super) in_doubt: Cell<bool>,
    /// Number of the last sync.
    pub(super) generation: Cell<u64>,
    /// Offset of the root in the range, in bytes, or zero.
    pub(super) root: Cell<usize>,
    /// Bytes that purges ever gave back.
    pub(super) purged_bytes: Cell<u64>,
    /// Times that a holder of the lock died and the next one recovered.
    pub(super) recoveries: Cell<u64>,
}

const_assert!(size_of::<Engine>() <= geometry::STATE_BYTES);

impl Engine {
    /// Makes the state of a heap without blocks whose range begins at `start`.
    ///
    /// # Safety
    /// The front of that range is writable, and the heap's alone.
    pub(super) unsafe fn init(start: NonNull<u8>, geometry: Geometry) -> &'static Self {
        // Before any fork: a child must read the links that its parent wrote.
        hardening::prepare();
        // SAFETY: the front has this much room for it, aligned.
        let engine = unsafe { start.byte_add(geometry::STATE).cast::<Self>() };
        // Nothing refers to the state yet, so plain fields may be written.
        // SAFETY: zeroes are valid for every field; pointers are set before they are used.
        unsafe {
            engine.write_bytes(0, 1);
            (&raw mut (*engine.as_ptr()).empty).write(Slab::empty());
        }
        // SAFETY: as above, and it stays for as long as the heap.
        let engine = unsafe { engine.as_ref() };
        engine.start.set(start.as_ptr().expose_provenance());
        engine.geometry.set(geometry);
        engine.clear();
        engine
    }

    /// Empties the lists of slabs and chunks, whatever they held. They are cells, since other
    /// references to the state exist.
    pub(super) fn clear(&self) {
        self.slabs.clear(&raw const self.empty);
        self.full.forget();
        self.chunks.forget();
    }

    // ---- addresses and tables ----

    /// Address of the first area.
    pub(super) fn base(&self) -> usize {
        self.start.get().wrapping_add(self.geometry.get().front())
    }

    /// Whether `address` lies in the areas of this heap.
    pub(super) fn contains(&self, address: usize) -> bool {
        address.wrapping_sub(self.base()) < self.geometry.get().limit
    }

    /// Index of the area of `address`.
    pub(super) fn area_index(&self, address: usize) -> usize {
        address.wrapping_sub(self.base()) / CHUNK_BYTES
    }

    /// Address of the area at `index`.
    pub(super) fn area_address(&self, index: usize) -> usize {
        self.base().wrapping_add(index.wrapping_mul(CHUNK_BYTES))
    }

    /// The table at `index`: 0 is in force, 1 and 2 are those of the last two syncs.
    pub(super) fn table(&self, index: usize) -> Table {
        let geometry = self.geometry.get();
        let at = self.start.get().wrapping_add(geometry.table(index));
        // SAFETY: the front has a table at this offset, and any bytes are a valid one.
        Table(unsafe { core::slice::from_raw_parts(ptr::with_exposed_provenance(at), geometry.areas()) })
    }

    /// The table in force.
    pub(super) fn in_force(&self) -> Table {
        self.table(0)
    }

    /// The last sync's table; none in a heap without syncs.
    pub(super) fn synced(&self) -> Option<Table> {
        match self.synced_table.get() {
            0 => None,
            index => Some(self.table(index)),
        }
    }

    /// Areas that were ever used, whatever a damaged state says.
    pub(super) fn top(&self) -> usize {
        self.top.load(Ordering::Relaxed).min(self.geometry.get().areas())
    }

    /// The bitmaps of the chunk at `index`, in a heap that has them.
    pub(super) fn bitmaps(&self, index: usize) -> Bitmaps {
        // SAFETY: callers name areas that are chunks of slabs, in heaps with bitmaps.
        unsafe { Bitmaps::at(self.area_address(index)) }
    }

    /// The last sync's bitmap of the chunk at `index`, if the area was a chunk then.
    pub(super) fn synced_bitmap(&self, index: usize) -> Option<&'static Bitmap> {
        match self.synced()?.get(index) {
            Use::Slabs { copy, .. } => Some(self.bitmaps(index).synced(copy)),
            Use::Free { .. } | Use::Span { .. } => None,
        }
    }

    /// The last sync's bitmap of the chunk that `slab` is in.
    pub(super) fn synced_bitmap_of(&self, slab: &Slab) -> Option<&'static Bitmap> {
        self.synced_bitmap(self.area_index(slab.base()))
    }

    // ---- the two fast paths of a heap without bitmaps ----

    /// A block of `class` from its current slab.
    #[inline(always)]
    pub(super) fn pop(&self, class: Class) -> Option<Block> {
        self.slabs.current(class).pop()
    }

    /// Whether a free into `slab` may be pushed inline: one comparison.
    #[inline(always)]
    pub(super) fn frees_fast(&self, slab: &Slab) -> bool {
        ptr::eq(slab.home(), &raw const self.fast_home)
    }

    /// Whether `slab` is a slab of this heap.
    pub(super) fn owns(&self, slab: &Slab) -> bool {
        self.frees_fast(slab) || ptr::eq(slab.home(), &raw const self.slow_home)
    }

    /// Changes the state of a slab, and its home accordingly.
    pub(super) fn move_to(&'static self, slab: &'static Slab, state: SlabState) {
        slab.move_to(state);
        let fast = state != SlabState::Full && slab.units() == 1;
        slab.set_home(if fast { &self.fast_home } else { &self.slow_home });
    }

    // ---- lists of slabs ----

    /// Whether `slab` stands for none.
    pub(super) fn is_empty_slab(&self, slab: &Slab) -> bool {
        ptr::eq(slab, &raw const self.empty)
    }

    /// Moves a slab that gained a free block to the list that it belongs to now. An empty slab that
    /// is not current gives its units back.
    pub(super) fn relist<const HAS_BITMAPS: bool>(&'static self, slab: &'static Slab, left: Occupancy) {
        match (slab.state(), left) {
            (SlabState::Full, Occupancy::Used | Occupancy::Sparse) => {
                self.full.remove(slab);
                self.list_partial(slab);
            }
            (SlabState::Full | SlabState::Partial, Occupancy::Empty) => {
                self.unlist(slab);
                self.release::<HAS_BITMAPS>(slab);
            }
            (SlabState::Partial | SlabState::Current, _) => {}
            (SlabState::Unlisted | SlabState::Purged, _) => {
                fatal::misuse("free into a slab that is not in use,", slab.base())
            }
        }
    }

    /// Takes a slab off its list, or lets it be current no more.
    pub(super) fn unlist(&'static self, slab: &'static Slab) {
        let class = slab.class();
        match slab.state() {
            SlabState::Full => self.full.remove(slab),
            SlabState::Partial => self.slabs.partial(class).remove(slab),
            SlabState::Current => self.slabs.set_current(class, &raw const self.empty),
            SlabState::Unlisted | SlabState::Purged => {}
        }
    }

    /// Lists a slab that is on no list as one that may have a free block.
    pub(super) fn list_partial(&'static self, slab: &'static Slab) {
        self.move_to(slab, SlabState::Partial);
        self.slabs.partial(slab.class()).push_last(slab);
    }

    /// Lists a slab that is on no list as one without a linked or uncarved block.
    pub(super) fn list_full(&'static self, slab: &'static Slab) {
        self.move_to(slab, SlabState::Full);
        self.full.push_first(slab);
    }

    /// Calls `each` with the current slabs.
    pub(super) fn each_current(&'static self, mut each: impl FnMut(&'static Slab)) {
        for class in (0..CLASSES).filter_map(Class::at) {
            let slab = self.slabs.current(class);
            if !self.is_empty_slab(slab) {
                each(slab);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::alloc::{Layout, alloc, dealloc};

    use super::*;

    /// Miri checks that nothing with other references is written but through a cell.
    #[test]
    fn a_heap_is_emptied_while_others_refer_to_it() {
        let geometry = Geometry::of(geometry::LEAST_LIMIT);
        let layout = Layout::from_size_align(geometry.whole(), CHUNK_BYTES).expect("a valid layout");
        // SAFETY: the layout has bytes.
        let start = NonNull::new(unsafe { alloc(layout) }).expect("memory");
        // SAFETY: the memory is this test's own, as long as the geometry says.
        let engine = unsafe { Engine::init(start, geometry) };
        let (empty, full) = (&engine.empty, &engine.full);
        engine.clear();
        assert!(empty.state() == SlabState::Current && !empty.has_free() && full.first().is_none());
        assert!(engine.pop(Class::FIRST).is_none());
        // SAFETY: allocated above, and not referred to from here on.
        unsafe { dealloc(start.as_ptr(), layout) };
    }
}
