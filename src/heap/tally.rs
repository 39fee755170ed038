//! What each heap counts on its slow paths, for statistics; and the list of all heaps.

use core::ptr;

use super::{Heap, shared};
use crate::size_class::{CLASSES, Class};
use crate::sync::Seen;
use crate::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// Counted by the heap's owner, read by anybody.
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
}

impl ClassTally {
    const fn new() -> Self {
        Self { refills: Seen::<AtomicU64>::new(0), remote: Seen::<AtomicU64>::new(0) }
    }

    pub(crate) fn refills(&self) -> u64 {
        self.refills.get()
    }

    pub(crate) fn remote(&self) -> u64 {
        self.remote.get()
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
    pub(super) fn refill(&self, class: Class) {
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

/// The heap made last.
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
