//! Counts of each heap's slow paths, for statistics; and the list of all heaps.

use core::ptr;

use super::{Heap, shared};
use crate::base::atomic::Seen;
use crate::base::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use crate::block::size_class::{CLASSES, Class};

/// Blocks of each class that threads without a heap have freed; wraps.
static SENT_WITHOUT_HEAP: [AtomicU32; CLASSES] = [const { AtomicU32::new(0) }; CLASSES];

/// Counts of one heap. The heap's owner counts, and any thread reads.
pub(crate) struct Tally {
    /// The heap that was made before this one. Heaps are never unmapped, so the list only grows.
    older: AtomicPtr<Heap>,
    /// The kernel's number of the thread that uses the heap; zero where none does.
    thread: Seen<AtomicU32>,
    classes: [ClassTally; CLASSES],
}

/// The tally of one size class, since the heap was made.
pub(crate) struct ClassTally {
    /// Allocations that found no block at hand.
    refills: Seen<AtomicU64>,
    /// Blocks freed by other threads and adopted.
    remote: Seen<AtomicU64>,
    /// Blocks that the heap's thread has published to other heaps' slabs; wraps.
    sent: Seen<AtomicU32>,
    /// Slabs of the heap that are full.
    full: Seen<AtomicU32>,
}

impl ClassTally {
    const fn new() -> Self {
        Self {
            refills: Seen::<AtomicU64>::new(0),
            remote: Seen::<AtomicU64>::new(0),
            sent: Seen::<AtomicU32>::new(0),
            full: Seen::<AtomicU32>::new(0),
        }
    }

    pub(crate) fn refills(&self) -> u64 {
        self.refills.get()
    }

    pub(crate) fn remote(&self) -> u64 {
        self.remote.get()
    }

    pub(crate) fn full(&self) -> u32 {
        self.full.get()
    }

    /// What the heap adds to the blocks [in flight](in_flight); wraps.
    fn outstanding(&self) -> u32 {
        self.sent.get().wrapping_sub(self.remote.get() as u32)
    }
}

impl Tally {
    pub(super) const fn new() -> Self {
        Self {
            older: AtomicPtr::new(ptr::null_mut()),
            thread: Seen::<AtomicU32>::new(0),
            classes: [const { ClassTally::new() }; CLASSES],
        }
    }

    /// Counts an allocation that found no block at hand.
    pub(super) fn refilled(&self, class: Class) {
        if let Some(tally) = self.classes.get(class.index()) {
            tally.refills.set(tally.refills.get().wrapping_add(1));
        }
    }

    /// Counts blocks that other threads have freed.
    pub(super) fn adopted(&self, class: Class, blocks: u32) {
        if let Some(tally) = self.classes.get(class.index()) {
            tally.remote.set(tally.remote.get().wrapping_add(blocks.into()));
        }
    }

    /// Counts blocks that were published to another heap's slab.
    pub(super) fn sent(&self, class: Class, blocks: u32) {
        if let Some(tally) = self.classes.get(class.index()) {
            tally.sent.set(tally.sent.get().wrapping_add(blocks));
        }
    }

    /// Counts a slab that is full now.
    pub(super) fn filled(&self, class: Class) {
        if let Some(tally) = self.classes.get(class.index()) {
            tally.full.set(tally.full.get().wrapping_add(1));
        }
    }

    /// Counts a full slab that has room now, or is another heap's.
    pub(super) fn unfilled(&self, class: Class) {
        if let Some(tally) = self.classes.get(class.index()) {
            tally.full.set(tally.full.get().wrapping_sub(1));
        }
    }

    /// Sets the counts of full slabs to zero.
    pub(super) fn forget_full(&self) {
        for tally in &self.classes {
            tally.full.set(0);
        }
    }

    /// Notes which thread uses the heap; zero for none.
    pub(crate) fn set_thread(&self, thread: u32) {
        self.thread.set(thread);
    }

    /// See [`set_thread`](Self::set_thread).
    pub(crate) fn thread(&self) -> u32 {
        self.thread.get()
    }

    /// The tally of every class, by index.
    pub(crate) fn classes(&self) -> &[ClassTally; CLASSES] {
        &self.classes
    }
}

/// Counts a block that a thread without a heap has freed.
pub(super) fn sent_without_heap(class: Class) {
    if let Some(sent) = SENT_WITHOUT_HEAP.get(class.index()) {
        sent.fetch_add(1, Ordering::Relaxed);
    }
}

/// Blocks of each class that were freed by other threads than their slab's heap's and are not
/// adopted yet: in outboxes, and on slabs' remote lists.
pub(crate) fn in_flight() -> [u32; CLASSES] {
    let mut classes: [u32; CLASSES] = core::array::from_fn(|index| {
        SENT_WITHOUT_HEAP.get(index).map_or(0, |sent| sent.load(Ordering::Relaxed))
    });
    for heap in heaps() {
        for (blocks, tally) in classes.iter_mut().zip(heap.tally.classes()) {
            *blocks = blocks.wrapping_add(tally.outstanding());
        }
        for (class, pending) in heap.outbox.pending() {
            if let Some(blocks) = classes.get_mut(class.index()) {
                *blocks = blocks.wrapping_add(pending);
            }
        }
    }
    // The counts are read one after another, so a block may count as adopted before it counts as
    // sent: then the difference is negative.
    classes.map(|blocks| blocks.cast_signed().max(0).cast_unsigned())
}

/// The heap that was made last; each names the one made before it.
static NEWEST: AtomicPtr<Heap> = AtomicPtr::new(ptr::null_mut());

/// Puts a new heap on the list of all.
pub(crate) fn enlist(heap: &'static Heap) {
    let mut newest = NEWEST.load(Ordering::Relaxed);
    loop {
        heap.tally.older.store(newest, Ordering::Relaxed);
        let this = ptr::from_ref(heap).cast_mut();
        match NEWEST.compare_exchange_weak(newest, this, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => return,
            Err(now) => newest = now,
        }
    }
}

/// Every heap: the shared one, if there is one, then threads' from the newest to the oldest.
pub(crate) fn heaps() -> impl Iterator<Item = &'static Heap> {
    // SAFETY: listed heaps are never unmapped.
    let mut next = unsafe { NEWEST.load(Ordering::Acquire).as_ref() };
    let threads = core::iter::from_fn(move || {
        let heap = next?;
        // SAFETY: as above.
        next = unsafe { heap.tally.older.load(Ordering::Relaxed).as_ref() };
        Some(heap)
    });
    shared::heap().into_iter().chain(threads)
}
