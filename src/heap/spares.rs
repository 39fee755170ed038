//! Empty slabs that a heap has put aside, one of each class: closed, with their blocks as they
//! were.
//!
//! A loop that fills slabs and empties them takes its slabs from here again, at the price of an
//! atomic exchange. A purge by another thread takes them too, so an idle thread pins no empty slab.

use core::cell::Cell;
use core::ptr;

use crate::base::atomic::{AtomicBool, AtomicPtr, Ordering};
use crate::base::config::SPARE_BYTES;
use crate::block::size_class::{CLASSES, Class};
use crate::memory::depot;
use crate::memory::slab::Slab;

/// One entry for each class. The heap's thread puts slabs here, and any thread takes them.
pub(super) struct Spares {
    entries: [Entry; CLASSES],
    /// Whether any entry may have a slab. A purge looks at the entries only then.
    filled: AtomicBool,
    /// Carved bytes of the slabs put here, whether other threads have taken them since or not. Only
    /// the heap's thread uses it.
    bytes: Cell<usize>,
}

struct Entry(AtomicPtr<Slab>);

impl Spares {
    pub(super) const fn new() -> Self {
        Self {
            entries: [const { Entry(AtomicPtr::new(ptr::null_mut())) }; CLASSES],
            filled: AtomicBool::new(false),
            bytes: Cell::new(0),
        }
    }

    /// Puts a closed slab aside. A slab for which there is no room goes to the depot.
    pub(super) fn put(&self, slab: &'static Slab) {
        let bytes = self.bytes.get().wrapping_add(slab.carved_bytes());
        if bytes > SPARE_BYTES {
            return depot::release(slab);
        }
        self.bytes.set(bytes);
        let Some(entry) = self.entries.get(slab.class().index()) else { return };
        let other = entry.exchange(slab);
        // After the exchange: a thread that sees `filled` set also sees the slab.
        self.filled.store(true, Ordering::Release);
        if let Some(other) = other {
            self.count_gone(other);
            depot::release(other);
        }
    }

    /// The slab of `class` put aside, if there is one.
    pub(super) fn take(&self, class: Class) -> Option<&'static Slab> {
        let entry = self.entries.get(class.index()).filter(|entry| !entry.is_empty())?;
        let slab = entry.exchange(ptr::null())?;
        self.count_gone(slab);
        Some(slab)
    }

    fn count_gone(&self, slab: &Slab) {
        self.bytes.set(self.bytes.get().wrapping_sub(slab.carved_bytes()));
    }

    /// Gives all slabs back to the depot. For the heap's thread.
    pub(super) fn give_back(&self) {
        if self.bytes.replace(0) != 0 {
            self.give_up();
        }
    }

    /// Gives all slabs back to the depot. For any thread.
    pub(super) fn give_up(&self) {
        // Most heaps have none. Without a write their cache line stays with their thread.
        if !self.filled.load(Ordering::Relaxed) || !self.filled.swap(false, Ordering::Acquire) {
            return;
        }
        for entry in self.entries.iter().filter(|entry| !entry.is_empty()) {
            if let Some(slab) = entry.exchange(ptr::null()) {
                depot::release(slab);
            }
        }
    }
}

impl Entry {
    /// Whether there is no slab; the answer may be outdated at once.
    fn is_empty(&self) -> bool {
        self.0.load(Ordering::Relaxed).is_null()
    }

    /// Puts `slab` here and returns the slab that was here.
    fn exchange(&self, slab: *const Slab) -> Option<&'static Slab> {
        // Acquire and release: the taker sees what the putter wrote to the record.
        // SAFETY: a slab that was put aside belongs to nobody else. Its chunk stays mapped, since
        // the depot counts the slab's units as in use.
        unsafe { self.0.swap(slab.cast_mut(), Ordering::AcqRel).as_ref() }
    }
}
