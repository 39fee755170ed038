//! A heap: for each size class the slab that is allocated from and those that wait their turn.
//!
//! A heap has one owner at a time: the thread it belongs to; for the shared heap, the one that holds
//! its lock; for a heap that waits for a thread, the one that holds the lock of those; for the
//! profiler's, the one that holds the lock of its records. Other threads reach what is atomic (the
//! inbox, the slabs put aside, what statistics read), and where its thread sleeps its lists of slabs
//! that are not current, under their lock: see [`help`].
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]

use core::cell::Cell;
use core::ptr::{self, NonNull};

use crate::base::atomic::Seen;
use crate::base::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use crate::base::config::{KEPT_BYTES, OWNED_SLABS, UNIT_BYTES};
use crate::block::free_list::{self, Block};
use crate::block::size_class::{CLASSES, Class};
use crate::memory::chunk;
use crate::memory::depot;
use crate::memory::records;
use crate::memory::slab::{Carved, Inbox, Occupancy, Place, Slab, SlabList};
use crate::os;
use crate::os::fatal;
use crate::os::lock::Lock;
use crate::policy::options;

#[cfg(feature = "background-purge")]
pub(crate) mod background;
pub(crate) mod help;
mod outbox;
#[cfg(feature = "profile")]
pub(crate) mod sampling;
pub(crate) mod shared;
pub(crate) mod slot;
mod spares;
pub(crate) mod tally;
pub(crate) mod thread;
mod trim;

use outbox::Outbox;
use spares::Spares;
use tally::Tally;

/// What bins without a slab point to: it never has a block.
static EMPTY: Slab = Slab::empty();

/// A heap that has nothing and never will: what others begin as copies of, and the stand-in of threads
/// without one.
pub(crate) static BLANK: Heap = Heap::new();

/// One heap. `repr(C)`: the inbox comes first, so that the heap's address is its inbox's.
#[repr(C, align(128))]
pub(crate) struct Heap {
    /// Any thread announces here that slabs of this heap have remote frees.
    inbox: Inbox,
    /// Announced slabs that helpers have passed over: the owner alone may adopt their remote frees now.
    passed_over: Inbox,
    /// Held by whoever touches `partial` and `full` or moves a slab to one of them or from it. The owner holds it
    /// on slow paths, and nobody waits for anything else meanwhile but the shared heap's lock.
    lists: Lock<()>,
    /// Bytes asked for by this heap's thread, less those it freed; wraps, as some threads only free.
    requested: Seen<AtomicUsize>,
    /// The slab each class allocates from; never null.
    current: [Cell<*const Slab>; CLASSES],
    /// Some of the slabs that [are served](Slab::takes_frees_of), by their unit's number: with one
    /// look a free knows that its block is in a slab of this heap. Never null. The owner writes; helpers clear.
    owned: [AtomicPtr<Slab>; OWNED_SLABS],
    /// Slabs with room: first those with free blocks, then those with uncarved ones only.
    partial: [SlabList; CLASSES],
    /// Slabs without room.
    full: SlabList,
    /// The classes that have ever had a slab here, a bit each: the others need no look.
    classes: Cell<u128>,
    /// The classes whose current slab is kept and counted in `kept_bytes`, a bit each.
    kept: Cell<u128>,
    /// Bytes carved of those.
    kept_bytes: Cell<usize>,
    /// Empty slabs put aside.
    spares: Spares,
    /// How often the owner has taken a slow path; and what helpers saw of that, under their lock.
    calls: Seen<AtomicU32>,
    calls_seen: Cell<u32>,
    /// Whether helpers have cleared entries of `served` since the owner's last slow path.
    robbed: AtomicBool,
    /// The depot's [`depot::looks`] at the last [`trim`](Self::trim).
    ticks_seen: Cell<u64>,
    /// Remote frees that were not published yet.
    outbox: Outbox,
    /// What statistics count.
    pub(crate) tally: Tally,
    /// When the profiler takes its next sample.
    #[cfg(feature = "profile")]
    pub(crate) sampler: crate::heap::sampling::Sampler,
    /// The next heap that waits for a thread; see [`crate::heap::thread`].
    pub(crate) next_idle: Cell<*const Heap>,
}

// SAFETY: others than the owner reach atomics only. `inbox`: they announce slabs. `spares`: they
// take slabs out of their atomic places; its `bytes` are the owner's. `asked`: they read it. `tally`: they
// read its counts, and follow `older`, which is written once, before the heap is published.
// `next_idle` is touched under the lock of the heaps that wait. Everything else, and `sampler`, the
// owner alone touches. The stand-ins of threads without a heap, which all of those share, are empty, and
// nobody writes to them.
unsafe impl Sync for Heap {}

/// Memory that slow paths found.
pub(crate) struct Found {
    pub(crate) block: Block,
    /// Whether it reads as zero.
    pub(crate) zero: bool,
}

impl From<Carved> for Found {
    fn from(carved: Carved) -> Self {
        Self { block: carved.block, zero: carved.zero }
    }
}

impl Heap {
    /// A heap without slabs.
    pub(crate) const fn new() -> Self {
        Self {
            inbox: Inbox::new(),
            passed_over: Inbox::new(),
            lists: Lock::new(()),
            requested: Seen::<AtomicUsize>::new(0),
            current: [const { Cell::new(&raw const EMPTY) }; CLASSES],
            owned: [const { AtomicPtr::new((&raw const EMPTY).cast_mut()) }; OWNED_SLABS],
            partial: [const { SlabList::new() }; CLASSES],
            full: SlabList::new(),
            classes: Cell::new(0),
            kept: Cell::new(0),
            kept_bytes: Cell::new(0),
            spares: Spares::new(),
            calls: Seen::<AtomicU32>::new(0),
            calls_seen: Cell::new(0),
            robbed: AtomicBool::new(false),
            ticks_seen: Cell::new(0),
            outbox: Outbox::new(),
            tally: Tally::new(),
            #[cfg(feature = "profile")]
            sampler: crate::heap::sampling::Sampler::new(),
            next_idle: Cell::new(ptr::null()),
        }
    }

    /// A heap in memory of its own. None where there is no memory.
    pub(crate) fn fresh() -> Option<&'static Self> {
        let place: NonNull<Self> = records::take(size_of::<Self>())?.cast();
        // Copied: built on the stack first, as unoptimised code does, it would be too much for a
        // thread with the smallest stack.
        // SAFETY: the place is fresh, aligned, long enough, and never taken back; an empty heap is its bytes.
        unsafe { place.as_ptr().copy_from_nonoverlapping(&raw const BLANK, 1) };
        // SAFETY: as above.
        Some(unsafe { place.as_ref() })
    }

    // ---- the two fast paths ----

    /// A block of `class`, if one is at hand.
    #[inline(always)]
    pub(crate) fn pop(&'static self, class: Class) -> Option<Block> {
        self.pop_by(Slab::pop, class)
    }

    /// As [`pop`](Self::pop), where that takes a longer look as well.
    #[inline(always)]
    pub(crate) fn pop_any(&'static self, class: Class) -> Option<Block> {
        self.pop_by(Slab::pop_any, class)
    }

    #[inline(always)]
    fn pop_by(&'static self, pop: impl FnOnce(&Slab) -> Option<Block>, class: Class) -> Option<Block> {
        let block = pop(self.current(class))?;
        #[cfg(feature = "profile")]
        if !self.sampler.count(class.shape().block as usize) {
            self.put_back(class, block);
            return None;
        }
        Some(block)
    }

    /// Undoes a [`pop`](Self::pop): a sampled block is another one.
    #[cfg(feature = "profile")]
    #[cold]
    #[inline(never)]
    fn put_back(&'static self, class: Class, block: Block) {
        let slab = self.current(class);
        let left = slab.push(block);
        self.settle(slab, left);
    }

    /// A slab that [is served](Slab::takes_frees_of), the one with the block at `address` if this
    /// heap has such a one and has seen it lately.
    #[inline(always)]
    pub(crate) fn owned(&self, address: usize) -> &'static Slab {
        // SAFETY: the entries are the empty slab or slabs of this heap, whose chunks are mapped: helpers that
        // take one pin its chunk.
        unsafe { &*self.entry(address).load(Ordering::Relaxed) }
    }

    /// Counts bytes that the heap's thread was asked for.
    #[inline(always)]
    pub(crate) fn count_requested(&self, bytes: usize) {
        self.requested.set(self.requested.get().wrapping_add(bytes));
    }

    /// Counts bytes that the heap's thread was given back.
    #[inline(always)]
    pub(crate) fn count_freed(&self, bytes: usize) {
        self.requested.set(self.requested.get().wrapping_sub(bytes));
    }

    /// The heap's name in slabs.
    #[inline(always)]
    pub(crate) const fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    #[inline(always)]
    fn current(&self, class: Class) -> &'static Slab {
        // SAFETY: `class.index()` is below CLASSES, the array's length.
        let slab = unsafe { self.current.get_unchecked(class.index()) };
        // SAFETY: a bin points to the empty slab or to a current one, whose chunk is mapped.
        unsafe { &*slab.get() }
    }

    #[inline(always)]
    fn entry(&self, address: usize) -> &AtomicPtr<Slab> {
        // SAFETY: the remainder is below the array's length.
        unsafe { self.owned.get_unchecked(address / UNIT_BYTES % OWNED_SLABS) }
    }

    fn bin(&self, class: Class) -> (&Cell<*const Slab>, &SlabList) {
        // SAFETY: `class.index()` is below CLASSES, the arrays' length.
        unsafe { (self.current.get_unchecked(class.index()), self.partial.get_unchecked(class.index())) }
    }

    // ---- allocation ----

    /// A block of a slab of `class` put aside, if there is one and no look since: a loop over some
    /// long block takes this way every time.
    #[inline]
    pub(crate) fn pop_spare(&'static self, class: Class) -> Option<Block> {
        if !ptr::eq(self.current(class), &raw const EMPTY) || depot::purge_ticks() != self.ticks_seen.get() {
            return None;
        }
        let spare = self.spares.take(class)?;
        spare.open_again(&self.inbox);
        self.make_current(class, spare);
        self.pop_any(class)
    }

    /// Makes an open slab on no list the one that is allocated from.
    fn replace_current(&'static self, class: Class, slab: &'static Slab) {
        self.park(self.current(class));
        self.make_current(class, slab);
    }

    fn make_current(&'static self, class: Class, slab: &'static Slab) {
        slab.move_to(Place::Current);
        self.bin(class).0.set(slab);
        self.remember(slab);
        self.classes.set(self.classes.get() | (1 << class.index()));
    }

    /// A block of `class` after [`pop`](Self::pop) found none: from remote frees, from a slab
    /// that waits, from untouched pages, from an abandoned, from the depot, in this order.
    pub(crate) fn find(&'static self, class: Class) -> Option<Found> {
        self.tally.refill(class);
        self.calls.set(self.calls.get().wrapping_add(1));
        self.note_robbed();
        if depot::purge_ticks() == self.ticks_seen.get() {
            self.collect();
        } else {
            self.trim();
        }
        loop {
            let slab = self.current(class);
            if let Some(block) = slab.pop_any() {
                return Some(Found { block, zero: false });
            }
            let next = match self.take_waiting(class, slab) {
                Some(waiting) => waiting,
                None if slab.has_uncarved() => return Some(self.carve(slab)),
                None => self.take_over(class)?,
            };
            self.replace_current(class, next);
        }
    }

    /// The slab to go on with after `slab`, if one waits that is better than what is left of it.
    fn take_waiting(&'static self, class: Class, slab: &'static Slab) -> Option<&'static Slab> {
        let _lists = self.lists.lock();
        let (_, partial) = self.bin(class);
        let waiting = partial.first().filter(|waiting| waiting.has_free() || !slab.has_uncarved())?;
        partial.remove(waiting);
        // Under the lock: helpers take what is partial for listed.
        waiting.move_to(Place::Current);
        Some(waiting)
    }

    /// A block of a current slab that has uncarved ones.
    fn carve(&self, slab: &'static Slab) -> Found {
        self.unkeep(slab);
        let from = slab.carved_bytes();
        let carved = slab.carve();
        slab.prepare_carved(from, &carved);
        carved.into()
    }

    /// A slab of `class` that this heap did not have; it is on no list yet.
    fn take_over(&'static self, class: Class) -> Option<&'static Slab> {
        if shared::is_shared(&self.inbox) {
            // Its lock is held: it is brought a slab from the depot, see `shared::find`.
            return None;
        }
        if let Some(spare) = self.spares.take(class) {
            spare.open_again(&self.inbox);
            return Some(spare);
        }
        if let Some(abandoned) = shared::adopt(class, self) {
            return Some(abandoned);
        }
        let mut found = depot::acquire_resident(class);
        if found.is_none() {
            // Before more becomes resident, what this heap has of other classes is cut anew.
            self.spares.give_back();
            if depot::has_grown()
                && help::instead_of_growing(self)
                && let Some(abandoned) = shared::adopt(class, self)
            {
                return Some(abandoned);
            }
            found = depot::acquire(class);
        }
        let (slab, zero) = found?;
        slab.open(class, zero, &self.inbox);
        if options::get().populate {
            slab.populate();
        }
        Some(slab)
    }

    /// Puts a slab that was current where it belongs.
    fn park(&'static self, slab: &'static Slab) {
        if ptr::eq(slab, &raw const EMPTY) {
            return;
        }
        self.unkeep(slab);
        #[cfg(debug_assertions)]
        slab.check();
        let _lists = self.lists.lock();
        self.park_listed(slab);
    }

    /// As [`park`](Self::park), for the holder of the lists' lock.
    fn park_listed(&'static self, slab: &'static Slab) {
        if slab.has_free() || slab.has_uncarved() {
            self.park_partial(slab);
        } else {
            self.forget(slab);
            slab.move_to(Place::Full);
            self.enter_full(slab);
        }
    }

    /// Puts a full slab on the list of those.
    fn enter_full(&'static self, slab: &'static Slab) {
        self.full.push_first(slab);
        self.tally.filled(slab.class());
        chunk::chunk_of(slab).note_full(slab);
    }

    /// Takes a slab that is not full any more off the list of those.
    fn leave_full(&'static self, slab: &'static Slab) {
        chunk::chunk_of(slab).note_room(slab);
        self.tally.unfilled(slab.class());
        self.full.remove(slab);
    }

    fn park_partial(&'static self, slab: &'static Slab) {
        slab.move_to(Place::Partial);
        shared::note_waiting(self, slab.class());
        let (_, partial) = self.bin(slab.class());
        let last = partial.last().filter(|last| !last.has_free() && slab.has_free());
        partial.push_last(slab);
        if let Some(last) = last {
            partial.remove(last);
            partial.push_last(last);
        }
    }

    // ---- frees ----

    /// Frees a block into a slab of this heap, whatever its place.
    pub(crate) fn free(&'static self, slab: &'static Slab, block: Block) {
        // SAFETY: the token says that the block is readable.
        if unsafe { free_list::looks_free(block.address() as *const u8) } {
            // Another thread may have freed it first. If that was the last block in use, the
            // slab is gone now.
            self.collect();
            let lists = self.lists.lock();
            let is_free = !ptr::eq(slab.home(), &self.inbox) || slab.is_listed(block.address());
            drop(lists);
            if is_free {
                return fatal::caught("double free", block.address());
            }
        }
        if slab.place() == Place::Full {
            return self.free_into_full(slab, block);
        }
        // With blocks left that others have freed, the slab may be gone now.
        if slab.push(block) == Occupancy::Empty {
            self.settle(slab, Occupancy::Empty);
        }
    }

    /// Whether the block at `address` is on the list of `slab`, or waits for its adoption. None where the slab is
    /// another heap's, or the lock could not be had within a while: the caller may be the one that holds it.
    pub(crate) fn has_free_at(&self, slab: &Slab, address: usize) -> Option<bool> {
        let _lists = self.lists.lock_within_a_while()?;
        ptr::eq(slab.home(), &self.inbox)
            .then(|| slab.is_listed_by_walk(address) || slab.is_on_remote_list(address))
    }

    /// Whether `slab` is this heap's and the block at `address`, which looks free, is on its list. For the owner.
    pub(crate) fn has_listed(&self, slab: &Slab, address: usize) -> bool {
        let _lists = self.lists.lock();
        ptr::eq(slab.home(), &self.inbox) && slab.is_listed(address)
    }

    /// Frees a block into a slab that is full, unless a helper has just moved it.
    fn free_into_full(&'static self, slab: &'static Slab, block: Block) {
        let lists = self.lists.lock();
        if !ptr::eq(slab.home(), &self.inbox) {
            drop(lists);
            // SAFETY: the token says that the block is given up, and it was a used one of the slab.
            return unsafe { self.send(slab, block) };
        }
        let left = slab.push(block);
        let emptied = self.relist(slab, left);
        drop(lists);
        if let Some(slab) = emptied {
            self.put_aside(slab);
        }
    }

    /// Puts a slab that gained free blocks where it belongs now.
    #[inline]
    pub(crate) fn settle(&'static self, slab: &'static Slab, left: Occupancy) {
        match (slab.place(), left) {
            (Place::Current, Occupancy::Empty) => self.keep(slab),
            (Place::Partial | Place::Current, Occupancy::Used) => {}
            _ => {
                let lists = self.lists.lock();
                let emptied = self.relist(slab, left);
                drop(lists);
                if let Some(slab) = emptied {
                    self.put_aside(slab);
                }
            }
        }
    }

    /// Moves a slab that gained free blocks to the list where it belongs now. Returns it where it is empty, on no
    /// list any more. For the holder of the lists' lock.
    fn relist(&'static self, slab: &'static Slab, left: Occupancy) -> Option<&'static Slab> {
        match (slab.place(), left) {
            (Place::Full, Occupancy::Used) => {
                self.leave_full(slab);
                self.park_partial(slab);
            }
            (Place::Full, Occupancy::Empty) => {
                self.leave_full(slab);
                slab.move_to(Place::Nowhere);
                return Some(slab);
            }
            (Place::Partial, Occupancy::Empty) => {
                self.bin(slab.class()).1.remove(slab);
                slab.move_to(Place::Nowhere);
                return Some(slab);
            }
            (Place::Current, Occupancy::Empty) => return Some(slab),
            (Place::Partial | Place::Current, Occupancy::Used) => {}
            (Place::Nowhere, _) => fatal::misuse("free into a slab that is not in use,", slab.base()),
        }
        None
    }

    /// Frees into `slab` find it at the first look from now on, if it has one unit only.
    #[inline]
    pub(crate) fn remember(&self, slab: &'static Slab) {
        if slab.units() == 1 {
            // Release: who sees the entry changed knows that the owner has done with what was there.
            self.entry(slab.base()).store(ptr::from_ref(slab).cast_mut(), Ordering::Release);
        }
    }

    fn forget(&self, slab: &Slab) {
        let entry = self.entry(slab.base());
        if ptr::eq(entry.load(Ordering::Relaxed), slab) {
            entry.store((&raw const EMPTY).cast_mut(), Ordering::Release);
        }
    }

    /// Keeps a current slab that fell empty where it holds little; otherwise puts it aside.
    fn keep(&'static self, slab: &'static Slab) {
        let bytes = kept_bytes(slab);
        if self.kept_bytes.get().wrapping_add(bytes) > KEPT_BYTES && bytes < KEPT_BYTES {
            // Those that are in use again need not be kept.
            for class in Class::in_set(self.kept.get()) {
                if self.current(class).used() > 0 {
                    self.unkeep(self.current(class));
                }
            }
        }
        let all = self.kept_bytes.get().wrapping_add(bytes);
        if all > KEPT_BYTES {
            self.bin(slab.class()).0.set(&raw const EMPTY);
            return self.put_aside(slab);
        }
        if bytes != 0 {
            self.kept.set(self.kept.get() | (1 << slab.class().index()));
            self.kept_bytes.set(all);
        }
        slab.set_kept(true);
    }

    /// Ends the keeping of a current slab that is about to be something else, or longer.
    fn unkeep(&self, slab: &Slab) {
        slab.set_kept(false);
        let bit = 1 << slab.class().index();
        if self.kept.get() & bit != 0 {
            self.kept.set(self.kept.get() & !bit);
            self.kept_bytes.set(self.kept_bytes.get().wrapping_sub(kept_bytes(slab)));
        }
    }

    /// Puts an empty slab, in no place now, where this heap finds it again if nobody purges it meanwhile.
    fn put_aside(&'static self, slab: &'static Slab) {
        if shared::is_shared(&self.inbox) {
            return self.give_back(slab);
        }
        self.forget(slab);
        slab.close();
        self.spares.put(slab);
    }

    /// Gives back the current slab of `class`, if it is empty.
    fn give_up_current(&'static self, class: Class) {
        let slab = self.current(class);
        if !ptr::eq(slab, &raw const EMPTY) && slab.used() == 0 {
            self.unkeep(slab);
            self.bin(class).0.set(&raw const EMPTY);
            self.give_back(slab);
        }
    }

    fn give_back(&'static self, slab: &'static Slab) {
        self.forget(slab);
        slab.close();
        if shared::is_shared(&self.inbox) { shared::put_emptied(slab) } else { depot::release(slab) }
    }

    /// Gives back the slabs put aside. Any thread may.
    pub(crate) fn give_up_spares(&self) {
        self.spares.give_up();
    }

    /// Frees a block into a slab of another heap: collected, and published in batches.
    ///
    /// # Safety
    /// The caller gives up the block, a used one of `slab`.
    pub(crate) unsafe fn send(&'static self, slab: &'static Slab, block: Block) {
        // Before: a slab whose last block this is may be gone afterwards.
        let class = slab.class();
        // SAFETY: forwarded to the caller.
        if unsafe { self.outbox.put(slab, block) } {
            self.tally.sent(class);
        }
    }

    /// Adopts what other threads have freed into this heap's slabs.
    #[inline]
    pub(crate) fn collect(&'static self) {
        if !self.inbox.is_empty() || !self.passed_over.is_empty() {
            self.collect_slow();
        }
    }

    #[cold]
    fn collect_slow(&'static self) {
        let emptied = SlabList::new();
        let lists = self.lists.lock();
        self.inbox.clear_whole();
        let mut each = |slab| {
            if let Some(slab) = self.collect_one(slab) {
                emptied.push_last(slab);
            }
        };
        self.inbox.take_all(&mut each);
        self.passed_over.take_all(&mut each);
        drop(lists);
        while let Some(slab) = emptied.pop() {
            if slab.place() == Place::Current { self.keep(slab) } else { self.put_aside(slab) }
        }
    }

    /// Adopts what came back to an announced slab. Returns the slab if it is empty now, on no list any more. For the
    /// owner, who holds the lists' lock.
    fn collect_one(&'static self, slab: &'static Slab) -> Option<&'static Slab> {
        let home = slab.home();
        if ptr::eq(home, &self.inbox) {
            let left = self.adopt(slab);
            return self.relist(slab, left);
        }
        // The slab changed hands between a publication and its announcement.
        // SAFETY: a slab with remote frees has a home, and heaps are never unmapped.
        unsafe { &*home }.announce(slab);
        None
    }

    /// Adopts what came back to an announced slab of this heap, and counts it.
    fn adopt(&'static self, slab: &'static Slab) -> Occupancy {
        let used = slab.used();
        let left = slab.adopt();
        self.tally.adopted(slab.class(), used.wrapping_sub(slab.used()));
        left
    }

    /// See [`Self::count_requested`].
    pub(crate) fn requested_bytes(&self) -> usize {
        self.requested.get()
    }
}

/// What keeping `slab` counts: nothing where it holds one OS page at most.
fn kept_bytes(slab: &Slab) -> usize {
    let bytes = slab.carved_bytes();
    if bytes <= os::page_bytes() { 0 } else { bytes }
}
