//! Helpers: other threads reuse and give back the remote frees of a heap whose own thread sleeps.
//!
//! A helper holds the lock of the heap's lists, which the owner takes on slow paths only. So a
//! helper never touches slabs that the owner may use without the lock: current ones, and partial
//! ones with a block that the owner may hold and free at any time. It takes
//!
//! - *full* slabs with remote frees: the owner's free into a full slab is a slow path;
//! - *partial* slabs all of whose used blocks are on the remote list: there is nothing that the
//!   owner could free.
//!
//! Such a slab goes to the depot if it is empty, else to the shared heap. The owner may still be
//! about to read the record of a slab in its owned-slab cache. So the helper clears the entry and
//! *pins* the chunk: it stays mapped until the owner has taken a slow path.

use core::ptr;

use super::{EMPTY, Heap, groups, shared, tally, thread};
#[cfg(feature = "background-purge")]
use crate::base::atomic::AtomicU64;
use crate::base::atomic::Ordering;
use crate::block::size_class::Class;
use crate::memory::chunk::{self, Chunk, UnitState};
use crate::memory::depot;
use crate::memory::slab::{Occupancy, Slab, SlabList, SlabState};
#[cfg(feature = "background-purge")]
use crate::os;
use crate::os::lock::Lock;
#[cfg(feature = "background-purge")]
use crate::policy::options;

/// Held by a helper, before any other lock: there is one at a time.
static HELPING: Lock<()> = Lock::new(());

/// Ends a helper of the parent, and rebuilds the lists of the calling thread's heap if a helper was
/// changing them. For a child.
///
/// # Safety
/// As for [`Lock::mend`]. The depot is in order.
pub(crate) unsafe fn mend() {
    // SAFETY: forwarded to the caller.
    unsafe {
        HELPING.mend(|()| {});
        if let Some(own) = thread::existing_heap() {
            own.mend_lists();
        }
        groups::mend_heaps();
    }
}

/// Wholly freed slabs in an inbox after which its owner counts as idle: a busy one would have
/// emptied it.
const WHOLE_SLABS: u32 = 16;

/// Helps every thread's heap.
pub(crate) fn all() {
    // Before the first look: what is announced later is for the next one.
    #[cfg(feature = "background-purge")]
    DUE_MS.store(u64::MAX, Ordering::Relaxed);
    let emptied = SlabList::new();
    let helping = HELPING.lock();
    for heap in thread_heaps() {
        let is_idle = heap.is_idle();
        // Not for long: in the child of a fork, the lock may be held for ever by a thread that is
        // not there.
        if let Some(_lists) = heap.lists.lock_within_a_while() {
            let _ = heap.help(is_idle, &emptied);
        }
    }
    drop(helping);
    give_back(&emptied);
}

/// Gives closed slabs to the depot, with no lock held: that may start the purger's thread, which
/// allocates.
fn give_back(emptied: &SlabList) {
    while let Some(slab) = emptied.pop() {
        depot::release(slab);
    }
}

/// Helps the heaps whose threads have taken no slow path since the last call, before `own` takes
/// more memory from the kernel. Whether there was anything.
pub(super) fn instead_of_growing(own: &Heap) -> bool {
    // The holder of the shared heap's lock would wait for itself.
    if !is_of_thread(own) {
        return false;
    }
    let Some(helping) = HELPING.try_lock() else { return false };
    let emptied = SlabList::new();
    let mut helped = false;
    for heap in thread_heaps().filter(|heap| !ptr::eq(*heap, own)) {
        let whole = heap.inbox.whole();
        // In this order: it is to be asked each time.
        let is_idle = heap.is_idle() || whole >= WHOLE_SLABS;
        if is_idle
            && (whole != 0 || !heap.inbox.is_empty() || !heap.deferred.is_empty())
            && let Some(_lists) = heap.lists.try_lock()
        {
            helped |= heap.help(true, &emptied);
        }
    }
    drop(helping);
    depot::note_help(helped);
    give_back(&emptied);
    helped
}

fn thread_heaps() -> impl Iterator<Item = &'static Heap> {
    tally::heaps().filter(|heap| is_of_thread(heap))
}

/// Not the shared heap, nor the sampled blocks': those are used under a lock, by whoever holds it.
pub(super) fn is_of_thread(heap: &Heap) -> bool {
    #[cfg(feature = "profile")]
    if crate::heap::sampling::is_home(heap.inbox()) {
        return false;
    }
    !shared::is_shared(heap.inbox())
}

impl Heap {
    /// Rebuilds the heap's lists if a helper was changing them, and has frees into inherited slabs
    /// take their way, but for the current ones. For a child.
    ///
    /// # Safety
    /// As for [`mend`], of a heap that the child's thread may use.
    pub(super) unsafe fn mend_lists(&'static self) {
        // SAFETY: forwarded to the caller.
        unsafe { self.lists.mend(|()| self.relist_all()) };
        self.entries_cleared.store(false, Ordering::Relaxed);
        for class in Class::in_set(self.classes.get()) {
            let slab = self.slabs.current(class);
            if !ptr::eq(slab, &raw const EMPTY) {
                slab.set_own();
            }
        }
        self.forget_inherited();
    }

    /// Whether the owner has taken no slow path since this was last asked. For helpers.
    fn is_idle(&self) -> bool {
        let calls = self.calls.get();
        self.calls_seen.replace(calls) == calls
    }

    /// Adopts the remote frees of announced slabs, and takes empty slabs, which it adds to
    /// `emptied`. Where the owner `is_idle`, those that were full go to the shared heap. Whether it
    /// took any. For a holder of the lists' lock.
    fn help(&'static self, is_idle: bool, emptied: &SlabList) -> bool {
        let with_room = SlabList::new();
        // A group's slabs stay its own.
        let is_idle = is_idle && self.group().is_none();
        self.inbox.clear_whole();
        let mut each = |slab| self.help_with(slab, is_idle, emptied, &with_room);
        self.inbox.take_all(&mut each);
        self.deferred.take_all(&mut each);
        let helped = emptied.first().is_some() || with_room.first().is_some();
        shared::take_in_with_room(&with_room);
        helped
    }

    fn help_with(
        &'static self,
        slab: &'static Slab,
        is_idle: bool,
        emptied: &SlabList,
        with_room: &SlabList,
    ) {
        if !ptr::eq(slab.home(), &self.inbox) {
            let _ = self.collect_one(slab);
            return;
        }
        let is_unheld = match slab.state() {
            SlabState::Full | SlabState::Partial | SlabState::Purged if slab.is_unheld() => true,
            // Of an owner that is awake it stays full: as a partial one, with blocks that somebody
            // holds, it would be out of reach when the owner sleeps.
            SlabState::Full if is_idle => false,
            _ => return self.deferred.announce(slab),
        };
        // What the owner has of it in a bin, if anything, goes to its next home when the bin is
        // emptied. The owner may be about to note that it has brought a block of it home.
        let must_pin = slab.feeds_bins();
        self.end_feeding_by_helper(slab);
        let left = self.adopt(slab);
        match left {
            Occupancy::Empty => {
                let _ = self.relist(slab, left);
                self.clear_entry(slab, must_pin);
                slab.close();
                self.uncount(slab);
                emptied.push_last(slab);
            }
            Occupancy::Used if is_idle && !is_unheld => {
                self.leave_full(slab);
                self.count_units(slab, -1);
                with_room.push_last(slab);
            }
            Occupancy::Used | Occupancy::Sparse => {
                let _ = self.relist(slab, left);
            }
        }
    }

    /// Rebuilds the lists from the states of the heap's slabs. For a child that mends its locks:
    /// nobody else runs, and no lock can be taken.
    fn relist_all(&'static self) {
        for class in Class::in_set(u128::MAX) {
            self.slabs.partial(class).forget();
        }
        self.full.forget();
        self.tally.forget_full();
        let relist = |unit| {
            let UnitState::Slab(slab) = unit else { return };
            if !ptr::eq(slab.home(), &self.inbox) {
                return;
            }
            match slab.state() {
                SlabState::Full => self.enter_full(slab),
                SlabState::Partial | SlabState::Purged => self.slabs.partial(slab.class()).push_last(slab),
                SlabState::Current | SlabState::Unlisted => {}
            }
        };
        for base in chunk::index::bases() {
            // SAFETY: a chunk is noted after it was mapped, and forgotten before it is unmapped.
            unsafe { Chunk::at(base) }.survey(relist);
        }
    }

    /// Clears the slab's entry in the owned-slab cache. If it has one, or `must_pin`, pins its
    /// chunk until the owner's next slow path: the owner may be about to follow the entry.
    fn clear_entry(&self, slab: &Slab, must_pin: bool) {
        let was_there = self.owned.take(slab);
        if was_there || must_pin {
            depot::pin(chunk::chunk_of(slab), !self.entries_cleared.swap(true, Ordering::Relaxed));
        }
    }

    /// Unpins, on a slow path of the owner, the chunks that helpers pinned for it.
    #[inline]
    pub(super) fn unpin_cleared(&self) {
        if self.entries_cleared.load(Ordering::Relaxed) {
            self.unpin_cleared_slow();
        }
    }

    #[cold]
    fn unpin_cleared_slow(&self) {
        let lists = self.lists.lock();
        let was_cleared = self.entries_cleared.swap(false, Ordering::Relaxed);
        drop(lists);
        if was_cleared {
            depot::unpin();
        }
    }
}

/// When the purger is to help; `u64::MAX` where nothing was announced.
#[cfg(feature = "background-purge")]
static DUE_MS: AtomicU64 = AtomicU64::new(u64::MAX);

/// Notes an announcement to a heap, whose thread may sleep for long.
#[cfg(feature = "background-purge")]
#[inline]
pub(super) fn note_announcement() {
    if DUE_MS.load(Ordering::Relaxed) == u64::MAX && options::get().purge_delay_ms != u64::MAX {
        DUE_MS.store(os::now_ms().saturating_add(options::get().purge_delay_ms), Ordering::Relaxed);
        crate::memory::waiting::request_purge();
    }
}

/// When the purger is to help.
#[cfg(feature = "background-purge")]
pub(crate) fn next_due_ms() -> u64 {
    DUE_MS.load(Ordering::Relaxed)
}

/// Helps, if it is time.
#[cfg(feature = "background-purge")]
pub(crate) fn help_due(now_ms: u64) {
    if DUE_MS.load(Ordering::Relaxed) <= now_ms {
        all();
    }
}
