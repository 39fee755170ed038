//! A slab: a run of units cut into equal blocks of one size class, and its record.
//!
//! The record lies in the chunk header, apart from the blocks, so that headers of many slabs
//! share cache lines' sets evenly and a full page of blocks stays a page of blocks.
//! This file is the owner's half; [`remote`] is any thread's, [`list`] links slabs of one heap.

use core::cell::Cell;
use core::iter;
use core::mem::offset_of;
use core::ptr::{self, NonNull};

use static_assertions::const_assert;

use crate::base::address::{align_down, align_up};
use crate::base::atomic::{self, Seen};
use crate::base::atomic::{AtomicI32, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering};
use crate::base::config::{
    CARVE_BLOCKS, CARVE_BYTES, CARVE_LEAST_BYTES, CHUNK_BYTES, LINE_BYTES, RECORD_BYTES, UNIT_BYTES,
};
#[cfg(debug_assertions)]
use crate::block::free_list;
use crate::block::free_list::{Block, FreeList};
use crate::block::hardening::{self, Freed, Order};
use crate::block::remote_list::RemoteList;
use crate::block::size_class::{Class, Shape};
use crate::os;
#[cfg(debug_assertions)]
use crate::os::fatal;
use crate::os::watch;

mod inside;
mod list;
#[cfg(not(feature = "secure"))]
mod listed;
mod rebuild;
mod remote;

pub(crate) use inside::SinceLook;
pub(crate) use list::SlabList;
pub(crate) use remote::Inbox;

/// Which of its owner's places a slab is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Place {
    /// No slab: the unit is free, or inside another slab, or the slab is spare.
    Nowhere = 0,
    /// The one that its class allocates from.
    Current,
    /// On its class's list, with room.
    Partial,
    /// On the list of slabs without room. The fast free path skips it.
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

/// What is known of a slab's pages beyond its carved blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Beyond {
    /// They may hold anything.
    Anything = 0,
    /// They read as zero, and none is resident.
    Untouched,
    /// They read as zero, and may be resident: they were faulted in at once.
    Populated,
}

/// Whether a free left used blocks behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occupancy {
    Used,
    Empty,
}

/// A slab's record. `used + free = carved ≤ capacity`, where *used* counts the blocks that callers
/// hold and those on their way back: in an outbox, on the remote list, or suspect.
#[repr(C, align(128))]
pub(crate) struct Slab {
    // -- A cache line that the owner alone touches, at each allocation and free. The atomics among them
    // are read by others for statistics.
    /// Number of the first unit: its address divided by a unit's bytes. A plain cell, as the next
    /// three: the compiler needs no instruction of its own to load one. Other threads compute them.
    unit: Cell<usize>,
    /// Bytes of the blocks that have ever been handed out or linked; those above are untouched.
    carved_bytes: Cell<usize>,
    /// 2^32 / `block_bytes`, rounded up: see [`Self::has_block_in_first_unit`].
    inverse: Cell<u32>,
    /// The same: as two fields they need no register.
    bound: Cell<u32>,
    /// Free blocks, last in, first out.
    free: FreeList,
    /// Minus the number of used blocks, so that zero, which a step to it tells for nothing, is
    /// an empty slab. A slab that is kept counts its heap as the user of one more.
    /// Atomic so that other threads may read it; one thread writes.
    count: AtomicI32,
    /// A [`Place`].
    place: AtomicU8,
    /// One where the heap keeps the slab current whether or not it is empty, else zero.
    kept: Seen<AtomicU8>,
    beyond: Cell<Beyond>,
    /// Free blocks that wait until `free` has none, in the `secure` build.
    freed: Freed,
    /// Neighbours on the owner's list that `place` names.
    next: Cell<*const Slab>,
    previous: Cell<*const Slab>,
    // -- A cache line that any thread reads for a remote free. First what the owner writes, seldom.
    /// The heap that the slab belongs to; null where there is no slab.
    home: AtomicPtr<Inbox>,
    block_bytes: Seen<AtomicU32>,
    capacity: Seen<AtomicU32>,
    /// How many blocks those `carved_bytes` are.
    carved: Seen<AtomicU32>,
    /// A [`Class`].
    class: Seen<AtomicU8>,
    units: Seen<AtomicU8>,
    /// How many units before this one its slab begins.
    lead: AtomicU8,
    /// Blocks freed by other threads. Written by any thread, as the rest.
    remote: RemoteList,
    /// Place of the last of them; written between the first publication and its announcement.
    remote_last: AtomicU32,
    /// One more than the place of a block that another thread has freed although it looks free
    /// already; zero where there is none. Not linked anywhere until the owner has looked.
    suspect: AtomicU32,
    /// The next announced slab of the same inbox.
    below: AtomicPtr<Slab>,
    /// 2^64 / `block_bytes`, rounded up: see [`Self::has_block_at`].
    long_inverse: Seen<AtomicU64>,
    /// What [`rest`](Self::rest) saw last. The owner's.
    unchanged_mark: Cell<u64>,
}

const_assert!(size_of::<Slab>() == RECORD_BYTES);

/// Where in a record its second cache line begins.
pub(crate) const HOME_OFFSET: usize = offset_of!(Slab, home);

const_assert!(HOME_OFFSET == LINE_BYTES);

const COUNT_OFFSET: usize = offset_of!(Slab, count);

// SAFETY: the cells are touched by the slab's owner alone: the thread whose heap has it, or which
// holds the lock of the heap that has it. While no heap has it, its owner is who took it: from the slabs put
// aside by an atomic exchange, or its units from the depot under the depot's lock. The empty slab, which all
// share, nobody writes to. The rest is atomic, or in the default build `freed`, which nobody writes at all.
unsafe impl Sync for Slab {}

impl Slab {
    /// A slab without blocks, for bins that have none.
    pub(crate) const fn empty() -> Self {
        Self {
            unit: Cell::new(0),
            carved_bytes: Cell::new(0),
            free: FreeList::new(),
            home: AtomicPtr::new(ptr::null_mut()),
            inverse: Cell::new(0),
            bound: Cell::new(0),
            count: AtomicI32::new(0),
            carved: Seen::<AtomicU32>::new(0),
            block_bytes: Seen::<AtomicU32>::new(0),
            capacity: Seen::<AtomicU32>::new(0),
            class: Seen::<AtomicU8>::new(0),
            units: Seen::<AtomicU8>::new(0),
            place: AtomicU8::new(Place::Current as u8),
            kept: Seen::<AtomicU8>::new(0),
            beyond: Cell::new(Beyond::Anything),
            lead: AtomicU8::new(0),
            unchanged_mark: Cell::new(0),
            next: Cell::new(ptr::null()),
            previous: Cell::new(ptr::null()),
            freed: Freed::new(),
            long_inverse: Seen::<AtomicU64>::new(0),
            remote: RemoteList::from_word(AtomicU64::new(0)),
            remote_last: AtomicU32::new(0),
            suspect: AtomicU32::new(0),
            below: AtomicPtr::new(ptr::null_mut()),
        }
    }

    // ---- the two fast paths ----

    /// Takes a block, if one is at hand.
    #[inline(always)]
    pub(crate) fn pop(&self) -> Option<Block> {
        self.taken(self.free.pop()?)
    }

    /// Takes a block, if there is one.
    #[inline(always)]
    pub(crate) fn pop_any(&self) -> Option<Block> {
        self.pop().or_else(|| self.taken(self.freed.pop_rest(&self.free)?))
    }

    /// Counts a block that was taken from the list.
    #[inline(always)]
    fn taken(&self, block: Block) -> Option<Block> {
        self.count.store(self.count.load(Ordering::Relaxed).wrapping_sub(1), Ordering::Relaxed);
        Some(block)
    }

    /// Takes a block back.
    #[inline(always)]
    pub(crate) fn push(&self, block: Block) -> Occupancy {
        self.freed.or(&self.free).push(block);
        // SAFETY: `count` is this record's own, at that offset.
        if unsafe { atomic::increment::<COUNT_OFFSET>(ptr::from_ref(self).cast()) } {
            Occupancy::Empty
        } else {
            Occupancy::Used
        }
    }

    /// Whether the thread of the heap with this inbox may [`push`](Self::push) at once: not into
    /// full slabs, which change their place then.
    #[inline]
    pub(crate) fn takes_frees_of(&self, inbox: *const Inbox) -> bool {
        // In this order: whoever gives a full slab to another heap does so before it moves it.
        self.place() != Place::Full && ptr::eq(self.home.load(Ordering::Relaxed), inbox)
    }

    // ---- where it is ----

    /// The slab that the unit at this record belongs to.
    pub(crate) fn first_unit(&'static self) -> &'static Self {
        self.around(0).0
    }

    /// The slab that the unit at this record belongs to, and how many bytes from its first block `address`
    /// is, which is in the unit.
    #[inline(always)]
    pub(crate) fn around(&'static self, address: usize) -> (&'static Self, usize) {
        let lead = usize::from(self.lead.load(Ordering::Relaxed));
        // SAFETY: `lead` counts records back inside the same chunk header.
        let slab = unsafe { &*ptr::from_ref(self).byte_sub(lead.wrapping_mul(RECORD_BYTES)) };
        (slab, lead.wrapping_mul(UNIT_BYTES).wrapping_add(address % UNIT_BYTES))
    }

    /// Bytes of the blocks that were ever handed out or linked.
    pub(crate) fn carved_bytes(&self) -> usize {
        (self.carved.get() as usize).wrapping_mul(self.block_bytes())
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

    /// Whether `address` lies in the first unit. For the owner.
    #[inline(always)]
    pub(crate) fn begins_around(&self, address: usize) -> bool {
        address / UNIT_BYTES == self.unit.get()
    }

    /// Whether a carved block begins at `address`, in the first unit. For the owner. Division by
    /// multiplication with the inverse modulo 2^32 (Lemire, Kaser and Kurz 2019): exact for
    /// dividends of 16 bits and divisors up to 2^13, those of slabs of one unit.
    #[inline(always)]
    pub(crate) fn has_block_in_first_unit(&self, address: usize) -> bool {
        let place = address % UNIT_BYTES;
        place < self.carved_bytes.get() && (place as u32).wrapping_mul(self.inverse.get()) < self.bound.get()
    }

    /// Whether a carved block begins at `address`.
    pub(crate) fn has_block_at(&self, address: usize) -> bool {
        self.has_block(address.wrapping_sub(self.base()))
    }

    /// Whether a carved block begins `place` bytes from the first. As above, exact for dividends and divisors
    /// of 32 bits.
    #[inline]
    pub(crate) fn has_block(&self, place: usize) -> bool {
        let inverse = self.long_inverse.get();
        place < self.carved_bytes() && (place as u64).wrapping_mul(inverse) < inverse
    }

    #[inline]
    pub(crate) fn home(&self) -> *const Inbox {
        self.home.load(Ordering::Acquire)
    }

    pub(crate) fn class(&self) -> Class {
        Class::at(usize::from(self.class.get())).unwrap_or(Class::FIRST)
    }

    pub(crate) fn units(&self) -> usize {
        usize::from(self.units.get())
    }

    /// Units, from the first, that may be resident, or hold anything but zeroes.
    pub(crate) fn used_units(&self) -> usize {
        match self.beyond.get() {
            Beyond::Untouched => self.carved_bytes().div_ceil(UNIT_BYTES),
            Beyond::Populated | Beyond::Anything => self.units(),
        }
    }

    #[inline]
    pub(crate) fn block_bytes(&self) -> usize {
        self.block_bytes.get() as usize
    }

    pub(crate) fn place(&self) -> Place {
        // Acquire: the counterpart of the store in `move_to`.
        Place::from_byte(self.place.load(Ordering::Acquire))
    }

    /// Whether this is the record of a slab's first unit. Any thread may ask, and sees then what
    /// [`open`](Self::open) wrote.
    pub(crate) fn is_open(&self) -> bool {
        let place = Place::from_byte(self.place.load(Ordering::Acquire));
        place != Place::Nowhere && self.lead.load(Ordering::Relaxed) == 0
    }

    /// Blocks that there is room for.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity.get() as usize
    }

    /// Faults in the pages of a slab that was just opened over untouched units. They are resident from
    /// now on, and so are to be given back with the carved ones.
    pub(crate) fn populate(&self) {
        let Some(start) = NonNull::new(self.pointer(0)).filter(|_| self.beyond.get() == Beyond::Untouched)
        else {
            return;
        };
        // SAFETY: the units are the slab's. Where the kernel refuses, they are faulted in singly.
        let answer = unsafe { os::populate(start, self.units().wrapping_mul(UNIT_BYTES)) };
        // A kernel that does not know the advice has done nothing; any other refusal may come half-way.
        if answer != Err(os::Errno(libc::EINVAL)) {
            self.beyond.set(Beyond::Populated);
        }
    }

    // ---- counts ----

    /// Blocks not on the list.
    pub(crate) fn used(&self) -> u32 {
        self.count.load(Ordering::Relaxed).unsigned_abs().saturating_sub(self.kept.get().into())
    }

    /// Blocks that are neither on the list nor freed by other threads and published: those that callers hold, and
    /// those that wait in outboxes. Any thread may ask.
    pub(crate) fn held(&self) -> u32 {
        self.used().saturating_sub(self.remote.peek().map_or(0, |chain| chain.blocks))
    }

    /// Free blocks on the list. For the owner.
    pub(crate) fn available(&self) -> u32 {
        self.carved.get().wrapping_sub(self.used())
    }

    /// Whether the list has a block. For the owner.
    pub(crate) fn has_free(&self) -> bool {
        self.lists_of_free().any(|list| !list.is_empty())
    }

    /// Where free blocks are: at hand, and where they wait. For the owner.
    fn lists_of_free(&self) -> impl Iterator<Item = &FreeList> {
        iter::once(&self.free).chain(self.freed.other())
    }

    /// Whether there are blocks that were never carved.
    pub(crate) fn has_uncarved(&self) -> bool {
        self.carved.get() < self.capacity.get()
    }

    // ---- the owner's slow steps ----

    /// Makes the record a slab of `class` over fresh units. `zero`: they read as zero.
    pub(crate) fn open(&'static self, class: Class, zero: bool, home: &'static Inbox) {
        let Shape { block, units, capacity } = class.shape();
        hardening::prepare();
        self.count.store(0, Ordering::Relaxed);
        self.free.clear();
        self.freed.or(&self.free).clear();
        self.unit.set(self.base() / UNIT_BYTES);
        self.carved.set(0);
        self.carved_bytes.set(0);
        self.block_bytes.set(block);
        let inverse = u32::MAX.checked_div(block).unwrap_or(0).wrapping_add(1);
        self.inverse.set(inverse);
        self.bound.set(inverse);
        self.long_inverse.set(u64::MAX.checked_div(block.into()).unwrap_or(0).wrapping_add(1));
        self.capacity.set(capacity);
        self.class.set(class.index() as u8);
        self.units.set(units as u8);
        self.beyond.set(if zero { Beyond::Untouched } else { Beyond::Anything });
        self.unchanged_mark.set(0);
        for unit in 0..units as u8 {
            // SAFETY: the run's records lie one after another in the chunk header.
            let record =
                unsafe { &*ptr::from_ref(self).byte_add(usize::from(unit).wrapping_mul(RECORD_BYTES)) };
            record.lead.store(unit, Ordering::Relaxed);
        }
        // Last: whoever finds the slab open from outside sees all of the above.
        self.open_again(home);
    }

    /// Ends the slab: no block is used. Its units may be given away afterwards.
    pub(crate) fn close(&self) {
        watch::open(self.pointer(0), self.carved_bytes());
        self.move_to(Place::Nowhere);
        self.home.store(ptr::null_mut(), Ordering::Relaxed);
    }

    /// Makes a closed slab one of `home`'s, as it was otherwise.
    pub(crate) fn open_again(&self, home: &'static Inbox) {
        self.move_to(Place::Partial);
        self.set_home(home);
    }

    /// Gives the slab to another heap.
    pub(crate) fn set_home(&self, home: &'static Inbox) {
        self.home.store(ptr::from_ref(home).cast_mut(), Ordering::Release);
    }

    pub(crate) fn move_to(&self, place: Place) {
        // Release: who finds the slab in its place sees what was done to it before.
        self.place.store(place as u8, Ordering::Release);
    }

    /// Keeps the slab, or not, see [`Self::count`].
    pub(crate) fn set_kept(&self, kept: bool) {
        let used = self.used().cast_signed();
        self.kept.set(kept.into());
        self.count.store(used.wrapping_add(kept.into()).wrapping_neg(), Ordering::Relaxed);
    }

    /// Carves some blocks. Where the memory is untouched: up to the end of the OS page in which
    /// the next one ends, so that pages beyond it stay untouched. Where it was used before, and
    /// is likely resident: as much again as there is, so that few blocks cost little and many need
    /// few steps. The first block is returned, the others join the list.
    /// For a current slab with [`has_uncarved`](Self::has_uncarved).
    pub(crate) fn carve(&self) -> Carved {
        let zero = self.beyond.get() != Beyond::Anything;
        let block = self.block_bytes();
        let from = self.carved_bytes.get();
        let edge = if zero {
            align_up(from.wrapping_add(block), os::page_bytes())
        } else {
            let most = CARVE_BYTES.max(block.wrapping_mul(CARVE_BLOCKS));
            from.wrapping_add(from.clamp(CARVE_LEAST_BYTES, most).max(block))
        };
        let fit = edge.wrapping_sub(from).checked_div(block).unwrap_or(1) as u32;
        let order = Order::of(fit.min(self.capacity.get().wrapping_sub(self.carved.get())));
        let blocks = order.blocks();
        let nth = |index| {
            let place: usize = order.place(index);
            self.block_at(from.wrapping_add(place.wrapping_mul(block)) as u32)
        };
        self.free.push_all((1..blocks as usize).rev().map(nth));
        self.carved.set(self.carved.get().wrapping_add(blocks));
        self.carved_bytes.set((self.carved.get() as usize).wrapping_mul(block));
        self.count.store(self.count.load(Ordering::Relaxed).wrapping_sub(1), Ordering::Relaxed);
        Carved { block: nth(0), zero }
    }

    fn block_at(&self, place: u32) -> Block {
        // SAFETY: only called for places of blocks that nobody has (uncarved ones) or that were
        // given up, and the pointer comes from the chunk's exposed mapping.
        unsafe { Block::from_raw(NonNull::new_unchecked(self.pointer(place))) }
    }

    /// Whether the block at `address` is on the list. Walks it.
    pub(crate) fn lists(&self, address: usize) -> bool {
        // SAFETY: free blocks are on the lists.
        self.lists_of_free().any(|list| unsafe { list.contains(address, self.available() as usize) })
    }

    /// Recomputes the invariants. For debug builds and tests.
    #[cfg(debug_assertions)]
    pub(crate) fn check(&self) {
        if self.carved.get() > self.capacity.get() || self.used() > self.carved.get() {
            fatal::broken("used ≤ carved ≤ capacity");
        }
        let mut listed: u32 = 0;
        for list in self.lists_of_free() {
            let mut block = list.head();
            while !block.is_null() && listed <= self.available() {
                if !self.has_block_at(block.addr()) {
                    fatal::broken("every free block begins where a block begins");
                }
                listed = listed.wrapping_add(1);
                // SAFETY: the block is on the list.
                block = unsafe { free_list::next_of(block) };
            }
        }
        if listed != self.available() {
            fatal::broken("used + free = carved");
        }
    }
}

/// A block carved from untouched memory.
pub(crate) struct Carved {
    pub(crate) block: Block,
    /// Whether the block reads as zero.
    pub(crate) zero: bool,
}
