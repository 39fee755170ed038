//! A heap: for each size class the slab that is allocated from, and further slabs with and without
//! room.
//!
//! A heap has one *owner* at a time: its thread; for the shared heap the holder of its lock; for an
//! idle heap the holder of that list's lock; for the heap of sampled blocks the holder of the
//! profiler's lock. Any thread may touch the atomic fields. A *helper* may touch the lists of a
//! heap under their lock: see [`help`].
//!
//! | file | what is in it |
//! | --- | --- |
//! | `mod` | the struct, with who reads and writes each field; the fast allocation |
//! | `bins` | the blocks that the thread freed last, by class |
//! | `feeding` | which slabs' blocks go into bins |
//! | `binned_units` | those slabs, by address |
//! | `lists` | states and lists of slabs |
//! | `owned_slabs` | the heap's slabs by address, for frees |
//! | `refill` | where a block comes from when none is at hand |
//! | `frees` | frees beside the fast path; adoption of remote frees |
//! | `empty`, `spares` | slabs that fell empty |
//! | `outbox` | frees to other heaps, in batches |
//! | `shared` | the heap of no thread: abandoned slabs, and requests of threads without a heap |
//! | `help` | what other threads do for a heap whose thread sleeps |
//! | `trim` | what a heap gives back on a purge tick and at its thread's end |
//! | `ended` | what goes back as a thread ends and leaves much free |
//! | `slot`, `thread` | a thread's way to its heap; its making and its end |
//! | `fork` | every lock, in the order in which a child mends them |
//! | `groups` | heaps that a thread uses in place of its own for a while |
//! | `tally` | counts for statistics; the list of all heaps |
//! | `background` | the purger's thread |
//! | `sampling` | which blocks the profiler follows |
//!
//! The state of this room: [`BLANK`] and [`slot::NEW`], never written; the slot of each thread; the
//! shared heap (`shared`); the list of all heaps (`tally`); the idle heaps (`thread`).
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]

use core::cell::Cell;
use core::mem::offset_of;
use core::ptr::{self, NonNull};

use static_assertions::const_assert;

use crate::base::atomic::Seen;
use crate::base::atomic::{AtomicBool, AtomicU32};
use crate::block::free_list::Block;
use crate::block::size_class::{CLASSES, Class};
use crate::memory::records;
use crate::memory::slab::{Inbox, Slab, SlabList, SlabsByClass};
use crate::os::lock::Lock;
use crate::policy::requested::Requested;

#[cfg(feature = "background-purge")]
pub(crate) mod background;
mod binned_units;
pub(crate) mod bins;
mod empty;
mod ended;
mod feeding;
mod fork;
mod frees;
pub(crate) mod groups;
pub(crate) mod help;
mod lists;
mod outbox;
mod owned_slabs;
mod refill;
mod requests;
#[cfg(feature = "profile")]
pub(crate) mod sampling;
pub(crate) mod shared;
pub(crate) mod slot;
mod spares;
pub(crate) mod tally;
pub(crate) mod thread;
mod trim;

use binned_units::BinnedUnits;
use bins::Bins;
use groups::Member;
use outbox::Outbox;
use owned_slabs::OwnedSlabs;
pub(crate) use refill::Found;
use requests::Requests;
use spares::Spares;
use tally::Tally;

/// The current slab of a class without one, and the empty entry of the owned-slab cache: it never
/// has a block.
static EMPTY: Slab = Slab::empty();

/// A heap that is empty and never written: the pattern of new heaps, and the stand-in of a thread
/// that cannot have a heap of its own.
pub(crate) static BLANK: Heap = Heap::new();

/// One heap. `repr(C)`: the inbox comes first, so that the heap's address is its inbox's.
///
/// Offsets in bytes, and cache lines of 64. *fast*: read or written by each allocation or free.
///
/// | offset | line | field | written by | read by |
/// | --- | --- | --- | --- | --- |
/// | 0 | 0 | `inbox` | any thread | owner, helpers |
/// | 64 | 1 | `deferred` | helpers | owner, helpers |
/// | 128 | 2 | `lists` | owner (slow paths), helpers | the same |
/// | 136 | 2 | `requests` | owner, *fast* | statistics |
/// | 160 | 2 to 16 | `at_hand` | owner | owner, *fast* |
/// | 1,080 | 16 to 41 | `bins`, `binned_units` | owner; helpers clear entries | owner; statistics |
/// | 2,632 | 41 to 55 | `slabs`: current ones | owner | owner |
/// | 3,552 | 55 to 84 | `slabs`: partial ones | holder of `lists` | the same |
/// | 5,392 | 84 to 116 | `owned` | owner; helpers remove entries | owner, *fast* |
/// | 7,448 | 116 | `full` | holder of `lists` | the same |
/// | 7,472 | 116 | `classes`, `kept`; after `sparse`: `kept_bytes` | owner | owner |
/// | 7,504 | 117 | `sparse` | holder of `lists` | the same |
/// | 7,528 | 117 to 132 | `spares` | owner puts, any thread takes | any thread |
/// | 8,464 | 132 | `calls` | owner (slow paths) | helpers |
/// | 8,468 | 132 | `calls_seen` | helpers | helpers |
/// | 8,472 | 132 | `units` | owner, helpers | owner |
/// | 8,476 | 132 | `entries_cleared` | helpers, owner | owner (slow paths) |
/// | 8,480 | 132 | `ticks_seen` | owner | owner |
/// | 8,488 | 132 to 140 | `outbox` | owner | owner, statistics |
/// | 9,000 | 140 to 183 | `tally` | owner (slow paths) | statistics |
/// | 11,776 | 184 | `next_idle`; before it the `sampler` of `profile` | holder of the idle list's lock | the same |
/// | 11,784 | 184 | `member` | who enters or leaves its group | any thread |
#[repr(C, align(128))]
pub(crate) struct Heap {
    /// Announcements by any thread: slabs of this heap that have remote frees.
    inbox: Inbox,
    /// Announced slabs whose remote frees the owner alone may adopt: a helper moved them here.
    deferred: Inbox,
    /// Guards the partial slabs and `full`, and the changes of a slab's state from or to them. The
    /// owner takes it on slow paths. Its holder takes no other locks but the
    /// shared heap's and the depot's.
    lists: Lock<()>,
    /// What this heap's thread has allocated and freed.
    requests: Requests,
    /// The slab of each class that the fast allocation takes from: the current one, but none where
    /// the class has a bin.
    at_hand: [Cell<*const Slab>; CLASSES],
    /// Blocks that the owner freed last, by class.
    bins: Bins,
    /// Units of slabs whose blocks may go into bins.
    binned_units: BinnedUnits,
    /// The slabs by class. Its lists have first the slabs with free blocks, then those with
    /// uncarved ones only.
    slabs: SlabsByClass,
    /// Some of the slabs that [take frees of this heap](Slab::takes_frees_of), by address.
    owned: OwnedSlabs,
    /// Slabs without room.
    full: SlabList,
    /// The classes that have ever had a slab here, a bit each: a trim skips the others.
    classes: Cell<u128>,
    /// The classes whose current slab is kept though empty and counted in `kept_bytes`, a bit each.
    kept: Cell<u128>,
    /// The classes of which a slab has become sparse since its pages were last looked at, a bit
    /// each. Under `lists`.
    sparse: Cell<u128>,
    /// Carved bytes of those slabs.
    kept_bytes: Cell<usize>,
    /// Empty slabs for reuse, which a purge by any thread may take.
    spares: Spares,
    /// Slow paths that the owner has taken; wraps.
    calls: Seen<AtomicU32>,
    /// `calls` when a helper last looked.
    calls_seen: Cell<u32>,
    /// Units of the heap's slabs.
    units: AtomicU32,
    /// Whether helpers have cleared entries of `owned` since the owner's last slow path.
    entries_cleared: AtomicBool,
    /// The [purge ticks](crate::memory::depot::purge_ticks) at the last [`trim`](Self::trim).
    ticks_seen: Cell<u64>,
    /// Remote frees that are not published yet.
    outbox: Outbox,
    /// Counts for statistics.
    pub(crate) tally: Tally,
    /// Countdown to the profiler's next sample.
    #[cfg(feature = "profile")]
    pub(crate) sampler: crate::heap::sampling::Sampler,
    /// The next idle heap; see [`thread`].
    pub(crate) next_idle: Cell<*const Heap>,
    /// What the heap knows of its group, if it is one's.
    member: Member,
}

// What the table says, at the borders of its parts.
const_assert!(offset_of!(Heap, inbox) == 0);
const_assert!(offset_of!(Heap, requests) == 136);
const_assert!(offset_of!(Heap, at_hand) == 160);
const_assert!(offset_of!(Heap, bins) == 1_080);
const_assert!(offset_of!(Heap, slabs) == 2_632);
const_assert!(offset_of!(Heap, owned) == 5_392);
const_assert!(offset_of!(Heap, full) == 7_448);
const_assert!(offset_of!(Heap, spares) == 7_528);
const_assert!(offset_of!(Heap, outbox) == 8_488);
const_assert!(offset_of!(Heap, tally) == 9_000);
// SAFETY: others than the owner touch only what the table says. Atomics: anybody. `partial`,
// `full`, `calls_seen`: under `lists`, or under the helper's lock. `spares`: threads take slabs out
// of its atomic entries; its `bytes` are the owner's. `tally`: its `older` is written once, before
// the heap is published. `next_idle`: under the lock of the idle heaps. `member`: its cells are the
// owner's, who in a group has set `busy`. The stand-ins, which
// threads without a heap share, are empty, and nobody writes to them.
unsafe impl Sync for Heap {}

impl Heap {
    /// A heap without slabs.
    pub(crate) const fn new() -> Self {
        Self {
            inbox: Inbox::new(),
            deferred: Inbox::new(),
            lists: Lock::new(()),
            requests: Requests::new(),
            at_hand: [const { Cell::new(&raw const EMPTY) }; CLASSES],
            bins: Bins::new(),
            binned_units: BinnedUnits::new(),
            slabs: SlabsByClass::new([const { Cell::new(&raw const EMPTY) }; CLASSES]),
            owned: OwnedSlabs::new(),
            full: SlabList::new(),
            classes: Cell::new(0),
            kept: Cell::new(0),
            sparse: Cell::new(0),
            kept_bytes: Cell::new(0),
            spares: Spares::new(),
            calls: Seen::<AtomicU32>::new(0),
            calls_seen: Cell::new(0),
            units: AtomicU32::new(0),
            entries_cleared: AtomicBool::new(false),
            ticks_seen: Cell::new(0),
            outbox: Outbox::new(),
            tally: Tally::new(),
            #[cfg(feature = "profile")]
            sampler: crate::heap::sampling::Sampler::new(),
            next_idle: Cell::new(ptr::null()),
            member: Member::new(),
        }
    }

    /// A heap in memory of its own. None where there is no memory.
    pub(crate) fn fresh() -> Option<&'static Self> {
        let fresh: NonNull<Self> = records::take(size_of::<Self>())?.cast();
        // Copied: unoptimised code would build it on the stack, which a thread with the smallest
        // stack lacks.
        // SAFETY: the memory is fresh, aligned, long enough, and never taken back; an empty heap is
        // its bytes.
        unsafe { fresh.as_ptr().copy_from_nonoverlapping(&raw const BLANK, 1) };
        // SAFETY: as above.
        Some(unsafe { fresh.as_ref() })
    }

    /// A free block of the current slab of `class`, if it has one at hand.
    #[inline(always)]
    pub(crate) fn pop(&'static self, class: Class) -> Option<Block> {
        self.pop_by(Slab::pop, class)
    }

    /// As [`pop`](Self::pop), also from lists that take more steps.
    #[inline(always)]
    pub(crate) fn pop_any(&'static self, class: Class) -> Option<Block> {
        self.pop_by(Slab::pop_any, class)
    }

    #[inline(always)]
    fn pop_by(&'static self, pop: impl FnOnce(&Slab) -> Option<Block>, class: Class) -> Option<Block> {
        // SAFETY: `class.index()` is below CLASSES, the array's length, and the entry is the empty
        // slab or one of the heap, whose chunk is mapped.
        let block = pop(unsafe { &*self.at_hand.get_unchecked(class.index()).get() })?;
        #[cfg(feature = "profile")]
        if !self.sampler.count(class.shape().block as usize) {
            self.put_back(class, block);
            return None;
        }
        Some(block)
    }

    /// Undoes a [`pop`](Self::pop): a sampled block comes from the heap of those.
    #[cfg(feature = "profile")]
    #[cold]
    #[inline(never)]
    fn put_back(&'static self, class: Class, block: Block) {
        let slab = self.slabs.current(class);
        let left = slab.push(block);
        self.settle(slab, left);
    }

    /// Counts an allocation by the heap's thread of so many bytes, as they were requested.
    #[inline(always)]
    pub(crate) fn count_allocated(&self, bytes: usize) {
        self.requests.count_allocated(bytes);
    }

    /// Counts an allocation through the door without layouts.
    #[inline(always)]
    pub(crate) fn count_untyped(&self) {
        self.requests.count();
    }

    /// Counts bytes that the heap's thread has freed.
    #[inline(always)]
    pub(crate) fn count_freed(&self, bytes: usize) {
        self.requests.count_freed(bytes);
    }

    /// The heap's inbox, which is its name in slabs.
    #[inline(always)]
    pub(crate) const fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// What the heap's thread has counted.
    pub(crate) fn requested(&self) -> Requested {
        self.requests.read()
    }
}
