//! A slab: a run of units cut into equal blocks of one size class, and its record.
//!
//! The record lies in the chunk header, apart from the blocks, so that headers of many slabs
//! share cache lines' sets evenly and a full page of blocks stays a page of blocks.
//! This file is the owner's half; [`remote`] is any thread's, [`list`] links slabs of one heap.

use core::cell::Cell;
use core::ptr::{self, NonNull};

use static_assertions::const_assert;

use crate::address::{align_down, align_up};
use crate::config::{CARVE_BLOCKS, CARVE_BYTES, CHUNK_BYTES, RECORD_BYTES, UNIT_BYTES};
use crate::free_list::{Block, FreeList};
use crate::remote_list::RemoteList;
use crate::size_class::{Class, Shape};
use crate::sync::atomic::{AtomicI32, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering};
use crate::sync::{self, Seen, Sign};
use crate::sys;
#[cfg(debug_assertions)]
use crate::{fatal, free_list};

mod again;
mod list;
mod remote;

pub(crate) use list::SlabList;
pub(crate) use remote::Inbox;

/// Which of its owner's places a slab is in. Its count is read accordingly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Place {
    /// No slab: the unit is free, or inside another slab.
    Nowhere = 0,
    /// The one that its class allocates from: `count` is the number of free blocks.
    Current,
    /// On its class's list, with room: `count` is minus the number of used blocks.
    Partial,
    /// On the list of slabs without room: as `Partial`. The fast free path skips it.
    Full,
}

impl Place {
    const fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::Current,
            2 => Self::Partial,
            3 => Self::Full,
            _ => Self::Nowhere,
        }
    }
}

/// Whether a free left used blocks behind. Only a slab that is not current can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    Some,
    Nothing,
}

/// A slab's record. `used + free + remote = carved ≤ capacity`, where *used* counts the
/// blocks callers hold and those on their way back (`remote` ones are used until adopted).
#[repr(C, align(128))]
pub(crate) struct Slab {
    // -- Written by the owner only; what is not a plain cell may be read by any thread.
    /// See [`Place`]. Atomic so that other threads may read it; one thread writes. First, so
    /// that the fast paths' address of it is the record's own.
    count: AtomicI32,
    /// Bytes of the blocks that have ever been handed out or linked; those above are untouched.
    carved_bytes: Seen<AtomicU32>,
    /// Free blocks, last in, first out.
    free: FreeList,
    /// The heap whose thread may free into this slab without a further look, or null. Only for
    /// slabs of one unit.
    owner: AtomicPtr<Inbox>,
    /// The heap that the slab belongs to; null where there is no slab.
    home: AtomicPtr<Inbox>,
    /// 2^64 / `block_bytes`, rounded up: see [`Self::has_block_at`].
    inverse: Seen<AtomicU64>,
    block_bytes: Seen<AtomicU32>,
    capacity: Seen<AtomicU32>,
    /// How many blocks those `carved_bytes` are.
    carved: Seen<AtomicU32>,
    /// A [`Class`].
    class: Seen<AtomicU8>,
    units: Seen<AtomicU8>,
    /// A [`Place`].
    place: Seen<AtomicU8>,
    /// Whether uncarved blocks are known to read as zero.
    zero: Cell<bool>,
    /// How many units before this one its slab begins.
    lead: AtomicU8,
    /// Neighbours on the owner's list that `place` names.
    next: Cell<*const Slab>,
    previous: Cell<*const Slab>,
    // -- Written by any thread.
    /// Blocks freed by other threads.
    remote: RemoteList,
    /// Place of the last of them; written between the first publication and its announcement.
    remote_last: AtomicU32,
    /// One more than the place of a block that another thread has freed although it looks free
    /// already; zero where there is none. Not linked anywhere until the owner has looked.
    suspect: AtomicU32,
    /// The next announced slab of the same inbox.
    below: AtomicPtr<Slab>,
}

const_assert!(size_of::<Slab>() == RECORD_BYTES);

// SAFETY: the cells are touched by the thread that owns the slab's heap, or under the lock of
// a shared one; before that by the depot under its lock. The rest is atomic.
unsafe impl Sync for Slab {}

impl Slab {
    /// A slab without blocks, for bins that have none.
    pub(crate) const fn empty() -> Self {
        Self {
            free: FreeList::new(),
            count: AtomicI32::new(0),
            carved_bytes: Seen::<AtomicU32>::new(0),
            carved: Seen::<AtomicU32>::new(0),
            owner: AtomicPtr::new(ptr::null_mut()),
            home: AtomicPtr::new(ptr::null_mut()),
            inverse: Seen::<AtomicU64>::new(0),
            block_bytes: Seen::<AtomicU32>::new(0),
            capacity: Seen::<AtomicU32>::new(0),
            class: Seen::<AtomicU8>::new(0),
            units: Seen::<AtomicU8>::new(0),
            place: Seen::<AtomicU8>::new(Place::Current as u8),
            zero: Cell::new(false),
            lead: AtomicU8::new(0),
            next: Cell::new(ptr::null()),
            previous: Cell::new(ptr::null()),
            remote: RemoteList::from_word(AtomicU64::new(0)),
            remote_last: AtomicU32::new(0),
            suspect: AtomicU32::new(0),
            below: AtomicPtr::new(ptr::null_mut()),
        }
    }

    // ---- the two fast paths ----

    /// Takes a block, if the slab is current and has one.
    #[inline(always)]
    pub(crate) fn pop(&self) -> Option<Block> {
        if sync::decrement(&self.count) == Sign::Negative {
            return None;
        }
        // SAFETY: a current slab's count is the length of its list, and it was not zero.
        Some(unsafe { self.free.pop() })
    }

    /// Takes a block back.
    #[inline(always)]
    pub(crate) fn push(&self, block: Block) -> Left {
        self.free.push(block);
        if sync::increment(&self.count) == Sign::Zero { Left::Nothing } else { Left::Some }
    }

    /// Whether the thread of the heap with this inbox may [`push`](Self::push) at once.
    #[inline(always)]
    pub(crate) fn is_served_by(&self, inbox: *const Inbox) -> bool {
        ptr::eq(self.owner.load(Ordering::Relaxed), inbox)
    }

    // ---- where it is ----

    /// The slab that the unit at this record belongs to.
    pub(crate) fn first_unit(&'static self) -> &'static Self {
        let back = usize::from(self.lead.load(Ordering::Relaxed)).wrapping_mul(RECORD_BYTES);
        // SAFETY: `lead` counts records back inside the same chunk header.
        unsafe { &*ptr::from_ref(self).byte_sub(back) }
    }

    /// Bytes of the blocks that were ever handed out or linked.
    pub(crate) fn carved_bytes(&self) -> usize {
        self.carved_bytes.get() as usize
    }

    /// Address of the first block.
    pub(crate) fn base(&self) -> usize {
        let record = ptr::from_ref(self).addr();
        let chunk = align_down(record, CHUNK_BYTES);
        let unit = record.wrapping_sub(chunk) / RECORD_BYTES;
        chunk.wrapping_add(unit.wrapping_mul(UNIT_BYTES))
    }

    fn pointer(&self, place: u32) -> *mut u8 {
        ptr::with_exposed_provenance_mut(self.base().wrapping_add(place as usize))
    }

    fn place_of(&self, block: *const u8) -> u32 {
        block.addr().wrapping_sub(self.base()) as u32
    }

    /// As [`Self::has_block_at`], for a slab that [`is_served_by`](Self::is_served_by) somebody:
    /// only the record of its first unit is.
    #[inline(always)]
    pub(crate) fn has_block_in_first_unit(&self, address: usize) -> bool {
        self.has_block_in(address & (UNIT_BYTES - 1))
    }

    /// Whether a carved block begins at `address`, which lies in the slab's units.
    pub(crate) fn has_block_at(&self, address: usize) -> bool {
        self.has_block_in(address.wrapping_sub(self.base()))
    }

    /// Division by multiplication with the inverse modulo 2^64 (Lemire, Kaser and Kurz 2019):
    /// exact for dividends below 2^32.
    #[inline(always)]
    fn has_block_in(&self, place: usize) -> bool {
        let inverse = self.inverse.get();
        place < self.carved_bytes.get() as usize && (place as u64).wrapping_mul(inverse) < inverse
    }

    pub(crate) fn home(&self) -> *const Inbox {
        self.home.load(Ordering::Acquire)
    }

    pub(crate) fn class(&self) -> Class {
        Class::at(usize::from(self.class.get())).unwrap_or(Class::FIRST)
    }

    pub(crate) fn units(&self) -> usize {
        usize::from(self.units.get())
    }

    /// Units, from the first, that may hold anything but zeroes.
    pub(crate) fn used_units(&self) -> usize {
        if self.zero.get() { self.carved_bytes().div_ceil(UNIT_BYTES) } else { self.units() }
    }

    pub(crate) fn block_bytes(&self) -> usize {
        self.block_bytes.get() as usize
    }

    pub(crate) fn place(&self) -> Place {
        Place::from_byte(self.place.get())
    }

    /// Whether this is the record of a slab's first unit.
    pub(crate) fn is_open(&self) -> bool {
        self.place() != Place::Nowhere && self.lead.load(Ordering::Relaxed) == 0
    }

    /// Blocks that there is room for.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity.get() as usize
    }

    // ---- counts ----

    /// Free blocks on the list.
    pub(crate) fn available(&self) -> u32 {
        let count = self.count.load(Ordering::Relaxed);
        match self.place() {
            Place::Current => count.max(0).unsigned_abs(),
            _ => self.carved.get().wrapping_sub(count.unsigned_abs()),
        }
    }

    /// Blocks not on the list.
    pub(crate) fn used(&self) -> u32 {
        self.carved.get().wrapping_sub(self.available())
    }

    /// Whether there are blocks that were never carved.
    pub(crate) fn has_uncarved(&self) -> bool {
        self.carved.get() < self.capacity.get()
    }

    // ---- the owner's slow steps ----

    /// Makes the record a slab of `class` over fresh units. `zero`: they read as zero.
    pub(crate) fn open(&'static self, class: Class, zero: bool, home: &'static Inbox) {
        let Shape { block, units, capacity } = class.shape();
        self.count.store(0, Ordering::Relaxed);
        self.carved.set(0);
        self.carved_bytes.set(0);
        self.block_bytes.set(block);
        let inverse = u64::MAX.checked_div(u64::from(block)).unwrap_or(0);
        self.inverse.set(inverse.wrapping_add(1));
        self.capacity.set(capacity);
        self.class.set(class.index() as u8);
        self.units.set(units as u8);
        self.zero.set(zero);
        self.move_to(Place::Partial);
        self.set_home(home);
        for unit in 0..units as u8 {
            // SAFETY: the run's records lie one after another in the chunk header.
            let record =
                unsafe { &*ptr::from_ref(self).byte_add(usize::from(unit).wrapping_mul(RECORD_BYTES)) };
            record.lead.store(unit, Ordering::Relaxed);
        }
    }

    /// Ends the slab: no block is used. Its units may be given away afterwards.
    pub(crate) fn close(&self) {
        self.place.set(Place::Nowhere as u8);
        self.owner.store(ptr::null_mut(), Ordering::Relaxed);
        self.home.store(ptr::null_mut(), Ordering::Relaxed);
    }

    /// Gives the slab to another heap.
    pub(crate) fn set_home(&self, home: &'static Inbox) {
        self.home.store(ptr::from_ref(home).cast_mut(), Ordering::Release);
        self.refresh_owner();
    }

    fn refresh_owner(&self) {
        let owner = match self.place() {
            // The frees of longer slabs all take the slow path, which sees them fall empty.
            Place::Current | Place::Partial if self.units.get() == 1 => self.home.load(Ordering::Relaxed),
            _ => ptr::null_mut(),
        };
        self.owner.store(owner, Ordering::Relaxed);
    }

    /// Changes the place, and how the count is kept with it.
    pub(crate) fn move_to(&self, place: Place) {
        let count = match place {
            Place::Current => self.available().cast_signed(),
            _ => self.used().cast_signed().wrapping_neg(),
        };
        self.count.store(count, Ordering::Relaxed);
        self.place.set(place as u8);
        self.refresh_owner();
    }

    /// Undoes what a [`pop`](Self::pop) without success did to the count.
    pub(crate) fn settle(&self) {
        self.count.store(0, Ordering::Relaxed);
    }

    /// Carves some blocks. Where the memory is untouched: up to the end of the OS page in which
    /// the next one ends, so that pages beyond it stay untouched. Where it was used before, and
    /// is likely resident: a larger piece. The first block is returned, the others join the list.
    /// For a current slab with [`has_uncarved`](Self::has_uncarved).
    pub(crate) fn carve(&self) -> Carved {
        let zero = self.zero.get();
        let block = self.block_bytes();
        let from = self.carved_bytes.get() as usize;
        let edge = if zero {
            align_up(from.wrapping_add(block), sys::page_bytes())
        } else {
            from.wrapping_add(CARVE_BYTES.max(block.wrapping_mul(CARVE_BLOCKS)))
        };
        let fit = edge.wrapping_sub(from).checked_div(block).unwrap_or(1) as u32;
        let blocks = fit.min(self.capacity.get().wrapping_sub(self.carved.get()));
        for index in (1..blocks as usize).rev() {
            self.free.push(self.block_at(from.wrapping_add(index.wrapping_mul(block)) as u32));
        }
        self.carved.set(self.carved.get().wrapping_add(blocks));
        self.carved_bytes.set(self.carved.get().wrapping_mul(self.block_bytes.get()));
        let count = self.count.load(Ordering::Relaxed).wrapping_add(blocks.cast_signed()).wrapping_sub(1);
        self.count.store(count, Ordering::Relaxed);
        Carved { block: self.block_at(from as u32), zero }
    }

    fn block_at(&self, place: u32) -> Block {
        // SAFETY: only called for places of blocks that nobody has (uncarved ones) or that were
        // given up, and the pointer comes from the chunk's exposed mapping.
        unsafe { Block::from_raw(NonNull::new_unchecked(self.pointer(place))) }
    }

    /// Whether the block at `address` is on the list. Walks it.
    pub(crate) fn lists(&self, address: usize) -> bool {
        // SAFETY: `available` is the length of the list.
        unsafe { self.free.contains(address, self.available() as usize) }
    }

    /// Recomputes the invariants. For debug builds and tests.
    #[cfg(debug_assertions)]
    pub(crate) fn check(&self) {
        if self.carved.get() > self.capacity.get() || self.available() > self.carved.get() {
            fatal::broken("free ≤ carved ≤ capacity");
        }
        let mut block = self.free.head();
        for _ in 0..self.available() {
            if !self.has_block_at(block.addr()) {
                fatal::broken("every free block begins where a block begins");
            }
            // SAFETY: fewer than `available` blocks were visited, so this one is on the list.
            block = unsafe { free_list::next_of(block) };
        }
    }
}

/// A block carved from untouched memory.
pub(crate) struct Carved {
    pub(crate) block: Block,
    /// Whether the block reads as zero.
    pub(crate) zero: bool,
}
