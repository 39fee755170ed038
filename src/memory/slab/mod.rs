//! A slab: a run of units cut into equal blocks of one size class, and its record.
//!
//! The record lies in the chunk header, apart from the blocks: records of many slabs are spread
//! evenly over the sets of a cache, and a full page of blocks stays a page of blocks.
//!
//! State: the 128 bytes of each record. One thread owns a slab, the one whose heap has it or who
//! holds that heap's lock; the table at [`Slab`] says which fields others read or write.
//!
//! | file | what it decides |
//! | --- | --- |
//! | `mod` | the record, its two fast paths and its counts |
//! | `state` | what list a slab is on; how it is opened, closed and handed on |
//! | `absent` | free blocks known by bits alone: their pages went back, or a bin is fed from them |
//! | `address` | which slab, and which of its blocks, an address belongs to |
//! | `carve` | how many new blocks are linked at a time, and what is known of the memory behind them |
//! | `check` | what `secure` checks of a block; the equation in debug builds |
//! | `remote` | frees by other threads, from their publication to their adoption |
//! | `list` | slabs of one heap in a list |
//! | `by_class` | the slabs of a heap by class |
//! | `inside` | pages inside the free blocks of a slab that nobody has used for a while |
//! | `listed` | whether a block is on the free list, in two dozen steps |
//! | `rebuild` | slabs of first-class heaps made again from their bit maps |

use core::cell::Cell;
use core::iter;
use core::mem::offset_of;
use core::ptr;

use static_assertions::const_assert;

use crate::base::atomic::{self, Seen};
use crate::base::atomic::{AtomicI8, AtomicI32, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering};
use crate::base::config::{BIN_BLOCKS, LINE_BYTES, RECORD_BYTES};
use crate::block::free_list::{Block, FreeList};
use crate::block::hardening::Quarantine;
use crate::block::remote_list::RemoteList;
use crate::block::size_class::Class;

pub(crate) mod absent;
mod address;
mod by_class;
mod carve;
mod check;
mod inside;
mod list;
#[cfg(not(feature = "secure"))]
mod listed;
mod rebuild;
mod remote;
mod state;

pub(crate) use by_class::SlabsByClass;
pub(crate) use carve::Carved;
use carve::Uncarved;
pub(crate) use inside::SinceTick;
pub(crate) use list::SlabList;
pub(crate) use remote::Inbox;
pub(crate) use state::SlabState;

/// What a free left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occupancy {
    Used,
    /// So few used blocks that a bin may have all of them, in a slab that [feeds](Slab::feeds_bins)
    /// one; or that a page may be free, in a [watched](Slab::watch) slab.
    Sparse,
    Empty,
}

/// A slab's record. `used + free = carved ≤ capacity`: *used* counts the blocks that callers hold
/// and those on their way back, in an outbox, on the remote list or in a deferred double-free
/// check; *free* counts those on the free list, in quarantine, and absent ones.
///
/// | offset | bytes | field | written by | read by |
/// | ---: | ---: | --- | --- | --- |
/// | 0 | 8 | `unit` | who opens the slab | owner, at each free |
/// | 8 | 8 | `carved_bytes` | owner, when it carves | owner, at each free |
/// | 16 | 4 | `inverse` | who opens the slab | owner, at each free |
/// | 20 | 4 | `bound` | who opens the slab | owner, at each free |
/// | 24 | 8 | `free` | owner | owner, at each allocation and free |
/// | 32 | 4 | `count` | owner | owner, at each allocation and free; any thread |
/// | 36 | 1 | `state` | owner | any thread |
/// | 37 | 1 | `watermark` | owner | any thread |
/// | 38 | 1 | `uncarved` | owner | owner |
/// | 39 | 1 | `absence` | owner | holder of `lists` |
/// | 40 | 8 | `quarantine` | owner, in the `secure` build alone | owner |
/// | 48 | 8 | `next` | owner | owner |
/// | 56 | 8 | `previous` | owner | owner |
/// | 64 | 8 | `home` | owner | any thread, at each remote free |
/// | 72 | 4 | `block_bytes` | who opens the slab | any thread |
/// | 76 | 4 | `capacity` | who opens the slab | any thread |
/// | 80 | 4 | `carved` | owner, when it carves | any thread |
/// | 84 | 1 | `class` | who opens the slab | any thread |
/// | 85 | 1 | `units` | who opens the slab | any thread |
/// | 86 | 1 | `lead` | who opens the slab | any thread, at each remote free |
/// | 87 | 1 | `feeds` | owner | owner |
/// | 88 | 8 | `remote` | any thread | any thread; owner, when it adopts |
/// | 96 | 4 | `remote_last` | the publisher that announces | owner, when it adopts |
/// | 100 | 4 | `deferred` | any thread | owner, when it adopts |
/// | 104 | 8 | `next_announced` | who has the announcement | who has the announcement |
/// | 112 | 8 | `long_inverse` | who opens the slab | any thread |
/// | 120 | 8 | `last_tick` | owner | owner |
///
/// The first cache line is the owner's; from `home` on lies the line of remote frees. A field that
/// others read beside the owner is atomic or [`Seen`].
#[repr(C, align(128))]
pub(crate) struct Slab {
    /// Number of the first unit: its address divided by a unit's bytes. A plain cell, as the next
    /// three: the compiler needs no instruction of its own to load one. Other threads compute them.
    unit: Cell<usize>,
    /// Bytes of the carved blocks: those ever handed out or linked. Memory behind them is
    /// `uncarved`.
    carved_bytes: Cell<usize>,
    /// 2^32 / `block_bytes`, rounded up: see [`Self::has_block_in_first_unit`].
    inverse: Cell<u32>,
    /// Equal to `inverse`: as two fields they are two memory operands, and need no register.
    bound: Cell<u32>,
    /// Free blocks, last in, first out.
    free: FreeList,
    /// `watermark - used`. Negated so that the increment that counts a free also sets the zero flag
    /// when the used blocks have fallen to the watermark.
    count: AtomicI32,
    /// A [`SlabState`].
    state: AtomicU8,
    /// The number of used blocks at which a free is told so. Zero, for most slabs: when it is
    /// empty. [`KEPT`]: never. Above zero, for [watched](Self::watch) slabs: when a page may be
    /// free. Above zero too for slabs that [feed](Self::feeds_bins) a bin: the
    /// blocks that the bin has room for.
    watermark: Seen<AtomicI8>,
    uncarved: Cell<Uncarved>,
    /// Whether any free block is [absent](absent), and of which process the slab is.
    absence: AtomicU8,
    /// Freed blocks that wait until `free` has none.
    quarantine: Quarantine,
    /// The neighbours on the owner's list that `state` names.
    next: Cell<*const Slab>,
    previous: Cell<*const Slab>,
    /// The inbox of the heap that has the slab; null where no heap has it.
    home: AtomicPtr<Inbox>,
    block_bytes: Seen<AtomicU32>,
    /// Blocks that there is room for.
    capacity: Seen<AtomicU32>,
    /// Blocks in `carved_bytes`.
    carved: Seen<AtomicU32>,
    /// A [`Class`].
    class: Seen<AtomicU8>,
    units: Seen<AtomicU8>,
    /// How many units before this one its slab begins.
    lead: AtomicU8,
    /// Whether its blocks may go into a bin, or did.
    feeds: AtomicU8,
    /// Blocks freed by other threads.
    remote: RemoteList,
    /// Offset of the last block of `remote`; written between the first publication and its
    /// announcement.
    remote_last: AtomicU32,
    /// One more than the offset of a block that another thread has freed and that looked free
    /// already; zero where there is none. Its double-free check is deferred to the owner, see
    /// [`remote`].
    deferred: AtomicU32,
    /// The next announced slab of the same inbox.
    next_announced: AtomicPtr<Slab>,
    /// 2^64 / `block_bytes`, rounded up: see [`Self::has_block_at`].
    long_inverse: Seen<AtomicU64>,
    /// The free blocks at the last purge tick, see [`Self::since_last_tick`].
    last_tick: Cell<u64>,
}

const_assert!(size_of::<Slab>() == RECORD_BYTES);

// The table of offsets.
const_assert!(offset_of!(Slab, unit) == 0 && offset_of!(Slab, carved_bytes) == 8);
const_assert!(offset_of!(Slab, inverse) == 16 && offset_of!(Slab, bound) == 20);
const_assert!(offset_of!(Slab, free) == 24 && offset_of!(Slab, count) == 32);
const_assert!(offset_of!(Slab, state) == 36 && offset_of!(Slab, watermark) == 37);
const_assert!(offset_of!(Slab, uncarved) == 38 && offset_of!(Slab, absence) == 39);
const_assert!(offset_of!(Slab, quarantine) == 40);
const_assert!(offset_of!(Slab, next) == 48 && offset_of!(Slab, previous) == 56);
const_assert!(offset_of!(Slab, home) == LINE_BYTES && offset_of!(Slab, block_bytes) == 72);
const_assert!(offset_of!(Slab, capacity) == 76 && offset_of!(Slab, carved) == 80);
const_assert!(offset_of!(Slab, class) == 84 && offset_of!(Slab, units) == 85);
const_assert!(offset_of!(Slab, lead) == 86 && offset_of!(Slab, feeds) == 87);
const_assert!(offset_of!(Slab, remote) == 88);
const_assert!(offset_of!(Slab, remote_last) == 96 && offset_of!(Slab, deferred) == 100);
const_assert!(offset_of!(Slab, next_announced) == 104 && offset_of!(Slab, long_inverse) == 112);
const_assert!(offset_of!(Slab, last_tick) == 120);

/// Where in a record its second cache line begins.
pub(crate) const HOME_OFFSET: usize = offset_of!(Slab, home);

/// The watermark of a slab that its heap keeps current even when it is empty.
const KEPT: i8 = -1;

const_assert!(BIN_BLOCKS <= i8::MAX as usize);

const COUNT_OFFSET: usize = offset_of!(Slab, count);

// SAFETY: the cells are touched by the slab's owner alone: the thread whose heap has it, or which
// holds the lock of the heap that has it. While no heap has it, its owner is the thread that took
// it: out of the spare slabs by an atomic exchange, or its units from the depot under the depot's
// lock. The empty slab, which all share, nobody writes to. The rest is atomic, but for
// `quarantine`, which is the owner's as the cells are, and which nobody writes in the default
// build.
unsafe impl Sync for Slab {}

impl Slab {
    /// A slab without blocks, for classes that have none.
    pub(crate) const fn empty() -> Self {
        Self {
            // No address has this unit, while the lowest ones have the number zero.
            unit: Cell::new(usize::MAX),
            carved_bytes: Cell::new(0),
            inverse: Cell::new(0),
            bound: Cell::new(0),
            free: FreeList::new(),
            count: AtomicI32::new(0),
            state: AtomicU8::new(SlabState::Current as u8),
            watermark: Seen::<AtomicI8>::new(0),
            uncarved: Cell::new(Uncarved::Dirty),
            absence: AtomicU8::new(0),
            quarantine: Quarantine::new(),
            next: Cell::new(ptr::null()),
            previous: Cell::new(ptr::null()),
            home: AtomicPtr::new(ptr::null_mut()),
            block_bytes: Seen::<AtomicU32>::new(0),
            capacity: Seen::<AtomicU32>::new(0),
            carved: Seen::<AtomicU32>::new(0),
            class: Seen::<AtomicU8>::new(0),
            units: Seen::<AtomicU8>::new(0),
            lead: AtomicU8::new(0),
            feeds: AtomicU8::new(0),
            remote: RemoteList::from_word(AtomicU64::new(0)),
            remote_last: AtomicU32::new(0),
            deferred: AtomicU32::new(0),
            next_announced: AtomicPtr::new(ptr::null_mut()),
            long_inverse: Seen::<AtomicU64>::new(0),
            last_tick: Cell::new(0),
        }
    }

    // ---- the two fast paths ----

    /// Takes a block off the free list, but for the last one in the `secure` build.
    #[inline(always)]
    pub(crate) fn pop(&self) -> Option<Block> {
        self.taken(self.free.pop()?)
    }

    /// Takes a free block, if there is one.
    #[inline(always)]
    pub(crate) fn pop_any(&self) -> Option<Block> {
        self.pop().or_else(|| self.taken(self.quarantine.pop_rest(&self.free)?))
    }

    /// Counts a block that was taken off the list.
    #[inline(always)]
    fn taken(&self, block: Block) -> Option<Block> {
        self.count.store(self.count.load(Ordering::Relaxed).wrapping_sub(1), Ordering::Relaxed);
        Some(block)
    }

    /// Takes a block back. Whether the used blocks have fallen to the watermark: then
    /// [`occupancy`](Self::occupancy) is to be asked.
    #[inline(always)]
    pub(crate) fn push_told(&self, block: Block) -> bool {
        self.quarantine.or(&self.free).push(block);
        self.count_free()
    }

    /// Counts a free. Whether the used blocks have fallen to the watermark.
    #[inline(always)]
    fn count_free(&self) -> bool {
        // SAFETY: `count` is this record's own, at that offset.
        unsafe { atomic::increment::<COUNT_OFFSET>(ptr::from_ref(self).cast()) }
    }

    /// Takes a block back, as far as it is the slab's way: where it feeds a bin, by a bit.
    pub(crate) fn push(&self, block: Block) -> Occupancy {
        let is_told = if self.feeds_bins() {
            self.push_absent(self.index_at(block.address()))
        } else {
            self.push_told(block)
        };
        if is_told { self.occupancy() } else { Occupancy::Used }
    }

    /// What the last frees have left behind. For the owner.
    pub(crate) fn occupancy(&self) -> Occupancy {
        match (self.count.load(Ordering::Relaxed), self.watermark.get()) {
            (..0, _) => Occupancy::Used,
            (_, 1..) => Occupancy::Sparse,
            _ => Occupancy::Empty,
        }
    }

    /// Whether the thread of the heap with this inbox may [`push`](Self::push) at once: not into
    /// full slabs, which change their state then, nor into purged ones, those that feed a bin and
    /// [inherited](absent) ones, of which more is to be asked.
    #[inline]
    pub(crate) fn takes_frees_of(&self, inbox: *const Inbox) -> bool {
        let is_home = || ptr::eq(self.home.load(Ordering::Relaxed), inbox);
        // First the home alone: other threads must not read the line that the owner writes.
        // Then the state before the home: whoever gives a full slab to another heap does so before
        // it moves it.
        is_home() && self.state().takes_frees() && !self.feeds_bins() && !self.is_inherited() && is_home()
    }

    // ---- what it is ----

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

    /// Bytes of each block.
    #[inline]
    pub(crate) fn block_bytes(&self) -> usize {
        self.block_bytes.get() as usize
    }

    // ---- counts ----

    /// Blocks that there is room for.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity.get() as usize
    }

    /// Bytes of the carved blocks. Any thread may ask.
    pub(crate) fn carved_bytes(&self) -> usize {
        (self.carved.get() as usize).wrapping_mul(self.block_bytes())
    }

    /// Used blocks: carved ones that are not free. Any thread may ask.
    pub(crate) fn used(&self) -> u32 {
        self.used_at(Ordering::Relaxed)
    }

    fn used_at(&self, ordering: Ordering) -> u32 {
        let count = self.count.load(ordering);
        i32::from(self.watermark.get()).wrapping_sub(count).max(0).cast_unsigned()
    }

    /// Used blocks that callers hold or that wait in an outbox: those on the remote list are left
    /// out. Any thread may ask.
    pub(crate) fn held(&self) -> u32 {
        self.used().saturating_sub(self.remote.peek().map_or(0, |chain| chain.blocks))
    }

    /// Free blocks. For the owner.
    pub(crate) fn available(&self) -> u32 {
        self.carved.get().wrapping_sub(self.used())
    }

    /// Blocks on the free list and in quarantine. For the owner.
    pub(crate) fn listed(&self) -> u32 {
        self.available().wrapping_sub(self.absent())
    }

    /// Whether there is a free block. For the owner.
    pub(crate) fn has_free(&self) -> bool {
        self.has_absent() || self.lists_of_free().any(|list| !list.is_empty())
    }

    /// The free list and the quarantine. For the owner.
    fn lists_of_free(&self) -> impl Iterator<Item = &FreeList> {
        iter::once(&self.free).chain(self.quarantine.list())
    }
}
