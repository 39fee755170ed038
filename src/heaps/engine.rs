//! What the heaps of all kinds are: bins of slabs over chunks in one range of addresses.
//!
//! The same size classes, slabs, free lists and chunks as the global allocator's; without remote
//! frees, since whoever changes anything is alone: the owner of a private heap, or the holder of the lock.
//! The state lies in the heap's own range, so that every process that has the range has it.

use core::alloc::Layout;
use core::cell::Cell;
use core::ptr::{self, NonNull};

use static_assertions::const_assert;

use super::backing::Backing;
use super::books::{self, Books, Page};
use super::geometry::{self, Geometry};
use super::table::{Table, Use};
use crate::base::atomic::{AtomicUsize, Ordering};
use crate::base::config::CHUNK_BYTES;
use crate::block::free_list::{self, Block};
use crate::block::hardening;
use crate::block::size_class::{CLASSES, Class, Route, route};
use crate::memory::chunk;
use crate::memory::chunk::by_run::ByRun;
use crate::memory::slab::{Carved, Inbox, Occupancy, Place, Slab, SlabList};
use crate::os::fatal;
use crate::os::mutex::SharedMutex;

/// What an [intent](Engine::intent) says beside its address.
pub(super) const ALLOCATING: usize = 1;
pub(super) const FREEING: usize = 2;

/// The state of one heap. All but the lock is touched by one thread at a time, but for `start` and
/// `geometry`, which never change and which anybody reads.
#[repr(C, align(128))]
pub struct Engine {
    /// Who is alone, where several may be.
    pub(super) mutex: SharedMutex,
    /// The heap's name in slabs whose frees may take the short way; nothing is ever announced in it.
    owned: Inbox,
    /// Its name in the others: those that are full, whose place a free changes, and those of several units,
    /// of which only the first has a record.
    unserved: Inbox,
    /// What bins without a slab point to. Never written again once it is made.
    empty: Slab,
    /// The slab each class allocates from; never null.
    current: [Cell<*const Slab>; CLASSES],
    /// Slabs that may have room.
    partial: [SlabList; CLASSES],
    /// Slabs without room that is known of.
    full: SlabList,
    /// Chunks with free units.
    pub(super) chunks: ByRun,
    /// Where the range begins.
    pub(super) start: Cell<usize>,
    pub(super) geometry: Cell<Geometry>,
    /// Chunks' worth of the range that were ever used.
    pub(super) top: AtomicUsize,
    /// Which table is the last sync's, 1 or 2; zero where there is no sync.
    pub(super) synced: Cell<usize>,
    /// The block that is being allocated or freed, and which of them; else zero. If its user dies
    /// now, the former is undone and the latter finished.
    pub(super) intent: AtomicUsize,
    /// Whether anything was allocated, freed or made the root since the last sync.
    pub(super) changed: Cell<bool>,
    /// Whether the disk may have the superblock of a sync that failed, beside the last one's. Until that is
    /// settled both must find their blocks: nothing is allocated, linked or purged.
    pub(super) doubt: Cell<bool>,
    /// Count of the last sync.
    pub(super) generation: Cell<u64>,
    /// Place of the root in the range, or zero.
    pub(super) root: Cell<usize>,
    /// Bytes given back by purges, all told.
    pub(super) purged_bytes: Cell<u64>,
    /// Times that a dead user's half-done step was mended.
    pub(super) recoveries: Cell<u64>,
}

const_assert!(size_of::<Engine>() <= geometry::STATE_BYTES);

impl Engine {
    /// Makes the state of a heap whose range begins at `start`, without anything in it.
    ///
    /// # Safety
    /// The front of that range is writable, and the heap's alone.
    pub(super) unsafe fn place(start: NonNull<u8>, geometry: Geometry) -> &'static Self {
        // Before any fork: a child's links are its parent's.
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
        engine.forget();
        engine
    }

    /// Empties the bins and lists, whatever they held. All of it is cells: others have the same reference.
    pub(super) fn forget(&self) {
        for current in &self.current {
            current.set(&raw const self.empty);
        }
        self.partial.iter().for_each(SlabList::forget);
        self.full.forget();
        self.chunks.forget();
    }

    // ---- where things are ----

    /// Address of the first chunk.
    pub(super) fn base(&self) -> usize {
        self.start.get().wrapping_add(self.geometry.get().front())
    }

    /// Whether `address` lies in a chunk or a span, or may come to.
    pub(super) fn contains(&self, address: usize) -> bool {
        address.wrapping_sub(self.base()) < self.geometry.get().limit
    }

    pub(super) fn chunk_index(&self, address: usize) -> usize {
        address.wrapping_sub(self.base()) / CHUNK_BYTES
    }

    pub(super) fn chunk_address(&self, index: usize) -> usize {
        self.base().wrapping_add(index.wrapping_mul(CHUNK_BYTES))
    }

    pub(super) fn table(&self, which: usize) -> Table {
        let geometry = self.geometry.get();
        let at = self.start.get().wrapping_add(geometry.table(which));
        // SAFETY: the front has it at this place, and any bytes are a valid one.
        Table(unsafe { core::slice::from_raw_parts(ptr::with_exposed_provenance(at), geometry.chunks()) })
    }

    /// The table in force.
    pub(super) fn now(&self) -> Table {
        self.table(0)
    }

    /// The last sync's table, where there are syncs.
    pub(super) fn then(&self) -> Option<Table> {
        match self.synced.get() {
            0 => None,
            which => Some(self.table(which)),
        }
    }

    pub(super) fn top(&self) -> usize {
        self.top.load(Ordering::Relaxed).min(self.geometry.get().chunks())
    }

    /// The books of the chunk at `index`, of a booked heap.
    pub(super) fn books(&self, index: usize) -> Books {
        // SAFETY: asked for chunks of slabs only, by booked heaps.
        unsafe { Books::at(self.chunk_address(index)) }
    }

    /// What the last sync said of a chunk's blocks, if it had slabs then.
    pub(super) fn page_then(&self, index: usize) -> Option<&'static Page> {
        match self.then()?.get(index) {
            Use::Slabs { page, .. } => Some(self.books(index).synced(page)),
            Use::Free { .. } | Use::Span { .. } => None,
        }
    }

    pub(super) fn page_then_of(&self, slab: &Slab) -> Option<&'static Page> {
        self.page_then(self.chunk_index(slab.base()))
    }

    // ---- the two fast paths of a heap without books ----

    #[inline(always)]
    pub(super) fn pop(&self, class: Class) -> Option<Block> {
        self.current(class).pop()
    }

    /// Whether a free into `slab` may take the short way: one comparison.
    #[inline(always)]
    pub(super) fn serves(&self, slab: &Slab) -> bool {
        ptr::eq(slab.home(), &raw const self.owned)
    }

    /// Whether `slab` is a slab of this heap.
    pub(super) fn owns(&self, slab: &Slab) -> bool {
        self.serves(slab) || ptr::eq(slab.home(), &raw const self.unserved)
    }

    /// Changes the place of a slab, and its owner's name accordingly.
    pub(super) fn move_to(&'static self, slab: &'static Slab, place: Place) {
        slab.move_to(place);
        let short = place != Place::Full && slab.units() == 1;
        slab.set_home(if short { &self.owned } else { &self.unserved });
    }

    #[inline(always)]
    fn current(&self, class: Class) -> &'static Slab {
        // SAFETY: `class.index()` is below CLASSES, the array's length.
        let slab = unsafe { self.current.get_unchecked(class.index()) };
        // SAFETY: a bin points to the empty slab or to a current one, mapped with the heap.
        unsafe { &*slab.get() }
    }

    fn bin(&self, class: Class) -> (&Cell<*const Slab>, &SlabList) {
        // SAFETY: `class.index()` is below CLASSES, the arrays' length.
        unsafe { (self.current.get_unchecked(class.index()), self.partial.get_unchecked(class.index())) }
    }

    fn is_empty_slab(&self, slab: &Slab) -> bool {
        ptr::eq(slab, &raw const self.empty)
    }

    // ---- allocation ----

    /// A block for `layout`, from wherever there is one.
    pub(super) fn allocate<B: Backing>(&'static self, backing: &B, layout: Layout) -> Option<Fresh> {
        if self.doubt.get() {
            return None;
        }
        match self.try_allocate(backing, layout) {
            Some(fresh) => Some(fresh),
            None => {
                // Free units of other slabs, and of chunks that hold nothing, may serve.
                self.gather_up(backing);
                self.try_allocate(backing, layout)
            }
        }
    }

    fn try_allocate<B: Backing>(&'static self, backing: &B, layout: Layout) -> Option<Fresh> {
        let Route::Small(class) = route(layout) else { return self.take_span(backing, layout) };
        let Carved { block, zero } = self.find(backing, class)?;
        if B::BOOKED {
            self.note(block.address());
        }
        let start = if zero { block.into_raw() } else { block.hand_out() };
        Some(Fresh { start, zero })
    }

    /// Writes down that the block at `address` is used.
    fn note(&self, address: usize) {
        let Some((slab, index)) = self.block_at(address) else { return };
        self.intend(address | ALLOCATING);
        // SAFETY: a booked heap's slab.
        let books = unsafe { Books::of(slab) };
        books.beside().changed.set(true);
        self.changed.set(true);
        books.now().set(books::unit_of(slab), index);
        self.intend(0);
    }

    /// Release orders this after what was written before it, which is all that counts when the
    /// writer dies: the survivors have the writer's last word.
    pub(super) fn intend(&self, what: usize) {
        self.intent.store(what, Ordering::Release);
    }

    /// A block of `class`; not written down.
    fn find<B: Backing>(&'static self, backing: &B, class: Class) -> Option<Carved> {
        loop {
            let slab = self.current(class);
            if let Some(block) = slab.pop_any() {
                return Some(Carved { block, zero: false });
            }
            if slab.has_uncarved() {
                return Some(slab.carve());
            }
            if self.gather::<B>(slab) {
                continue;
            }
            let next = match self.waiting::<B>(class) {
                Some(next) => next,
                None => self.open_slab(backing, class)?,
            };
            if !self.is_empty_slab(slab) {
                self.put_full(slab);
            }
            self.move_to(next, Place::Current);
            self.bin(class).0.set(next);
        }
    }

    /// A slab of `class` that has room; on no list any more.
    fn waiting<B: Backing>(&'static self, class: Class) -> Option<&'static Slab> {
        let (_, partial) = self.bin(class);
        while let Some(slab) = partial.pop() {
            if slab.available() > 0 || slab.has_uncarved() || self.gather::<B>(slab) {
                return Some(slab);
            }
            self.put_full(slab);
        }
        None
    }

    /// Links blocks of a slab without free ones that the books say are free: left from before the
    /// records were made again, or freed before the last sync. Whether there were any.
    fn gather<B: Backing>(&self, slab: &'static Slab) -> bool {
        if !B::BOOKED || self.is_empty_slab(slab) {
            return false;
        }
        let mut found = false;
        // SAFETY: a booked heap's slab.
        let now = unsafe { Books::of(slab) }.now();
        now.each_free(self.page_then_of(slab), books::unit_of(slab), slab.carved(), |index| {
            let _ = slab.take_back(index);
            found = true;
        });
        found
    }

    /// Opens a slab whose blocks are all used, or only said to be; on no list.
    pub(super) fn open_again(&'static self, slab: &'static Slab, class: Class) {
        slab.open(class, false, &self.unserved);
        slab.use_all();
    }

    /// A new slab of `class`; on no list.
    fn open_slab<B: Backing>(&'static self, backing: &B, class: Class) -> Option<&'static Slab> {
        let (slab, zero) = self.acquire(backing, class)?;
        slab.open(class, zero, &self.unserved);
        if B::BOOKED {
            // SAFETY: a booked heap's slab.
            let books = unsafe { Books::of(slab) };
            books.beside().changed.set(true);
            books.now().set_class(books::unit_of(slab), Some(class));
        }
        Some(slab)
    }

    // ---- frees ----

    /// The slab and the number in it of the block at `address`, used or free.
    pub(super) fn block_at(&self, address: usize) -> Option<(&'static Slab, usize)> {
        if !self.contains(address) || chunk::is_header(address) {
            return None;
        }
        let Use::Slabs { .. } = self.now().get(self.chunk_index(address)) else { return None };
        // SAFETY: a chunk of slabs has records, and the address is not in its header.
        let slab = unsafe { &*chunk::record_at(address) }.first_unit();
        if !self.owns(slab) {
            return None;
        }
        Some((slab, slab.index_of(address)?))
    }

    /// Whether a block in use begins at `address`. For booked heaps.
    pub(super) fn uses(&self, address: usize) -> bool {
        match self.block_at(address) {
            // SAFETY: a booked heap's slab.
            Some((slab, index)) => unsafe { Books::of(slab) }.now().has(books::unit_of(slab), index),
            None => self.span_at(address).is_some(),
        }
    }

    /// Frees whatever begins at `start`.
    ///
    /// # Safety
    /// The caller gives up the block, if there is one.
    pub(super) unsafe fn free<B: Backing>(&'static self, start: NonNull<u8>) {
        let address = start.addr().get();
        match self.block_at(address) {
            // SAFETY: forwarded to the caller.
            Some((slab, index)) if B::BOOKED => unsafe { self.free_booked(slab, index, start) },
            // SAFETY: forwarded to the caller.
            Some((slab, _)) => unsafe { self.free_plain(slab, start) },
            None if self.free_span::<B>(address) => {}
            None => fatal::caught("free of an address that is no allocation of this heap", address),
        }
    }

    unsafe fn free_plain(&'static self, slab: &'static Slab, start: NonNull<u8>) {
        let address = start.addr().get();
        // SAFETY: blocks have at least two words.
        if unsafe { free_list::looks_free(start.as_ptr()) } && slab.is_listed(address) {
            return fatal::caught("double free", address);
        }
        // SAFETY: the caller gives up the block; from the range's own provenance.
        let block = unsafe { Block::from_raw(reexposed(start)) };
        self.settle::<false>(slab, slab.push(block));
    }

    unsafe fn free_booked(&'static self, slab: &'static Slab, index: usize, start: NonNull<u8>) {
        let unit = books::unit_of(slab);
        // SAFETY: a booked heap's slab.
        let books = unsafe { Books::of(slab) };
        if !books.now().has(unit, index) {
            return fatal::caught("double free", start.addr().get());
        }
        self.intend(start.addr().get() | FREEING);
        books.beside().changed.set(true);
        self.changed.set(true);
        books.now().clear(unit, index);
        // What was used at the last sync, or may have been, is neither written nor used again before the next.
        if !self.doubt.get() && !self.page_then_of(slab).is_some_and(|then| then.has(unit, index)) {
            self.settle::<true>(slab, slab.take_back(index));
        }
        self.intend(0);
    }

    /// Puts a slab that gained a free block where it belongs now.
    pub(super) fn settle<const BOOKED: bool>(&'static self, slab: &'static Slab, left: Occupancy) {
        match (slab.place(), left) {
            (Place::Full, Occupancy::Used) => {
                self.full.remove(slab);
                self.wait(slab);
            }
            (Place::Full | Place::Partial, Occupancy::Empty) => {
                self.unlist(slab);
                self.release::<BOOKED>(slab);
            }
            (Place::Partial | Place::Current, _) => {}
            (Place::Nowhere, _) => fatal::misuse("free into a slab that is not in use,", slab.base()),
        }
    }

    /// Takes a slab off its list, or out of its bin.
    pub(super) fn unlist(&'static self, slab: &'static Slab) {
        let (current, partial) = self.bin(slab.class());
        match slab.place() {
            Place::Full => self.full.remove(slab),
            Place::Partial => partial.remove(slab),
            Place::Current => current.set(&raw const self.empty),
            Place::Nowhere => {}
        }
    }

    /// Puts a slab that is on no list among those that may have room.
    pub(super) fn wait(&'static self, slab: &'static Slab) {
        self.move_to(slab, Place::Partial);
        self.bin(slab.class()).1.push_last(slab);
    }

    /// Puts a slab that is on no list among those without room that is known of.
    pub(super) fn put_full(&'static self, slab: &'static Slab) {
        self.move_to(slab, Place::Full);
        self.full.push_first(slab);
    }

    /// Calls `each` with the bins' slabs.
    pub(super) fn each_current(&'static self, mut each: impl FnMut(&'static Slab)) {
        for class in (0..CLASSES).filter_map(Class::at) {
            let slab = self.current(class);
            if !self.is_empty_slab(slab) {
                each(slab);
            }
        }
    }
}

/// Memory that was found.
pub(super) struct Fresh {
    pub(super) start: NonNull<u8>,
    /// Whether it reads as zero.
    pub(super) zero: bool,
}

/// The same address, with the provenance of the heap's range.
#[inline(always)]
pub(super) fn reexposed(start: NonNull<u8>) -> NonNull<u8> {
    // SAFETY: the address of a pointer that is not null.
    unsafe { NonNull::new_unchecked(ptr::with_exposed_provenance_mut(start.addr().get())) }
}

#[cfg(test)]
mod tests {
    use std::alloc::{alloc, dealloc};

    use super::*;

    /// What Miri checks: nothing that others refer to is written but through a cell.
    #[test]
    fn a_heap_is_emptied_while_others_refer_to_it() {
        let geometry = Geometry::of(geometry::LEAST_LIMIT);
        let layout = Layout::from_size_align(geometry.whole(), CHUNK_BYTES).expect("a valid layout");
        // SAFETY: the layout has bytes.
        let start = NonNull::new(unsafe { alloc(layout) }).expect("memory");
        // SAFETY: the memory is this test's own, as long as the geometry says.
        let engine = unsafe { Engine::place(start, geometry) };
        let (empty, full) = (&engine.empty, &engine.full);
        engine.forget();
        assert!(empty.place() == Place::Current && !empty.has_free() && full.first().is_none());
        assert!(engine.pop(Class::FIRST).is_none());
        // SAFETY: allocated above, and not referred to from here on.
        unsafe { dealloc(start.as_ptr(), layout) };
    }
}
