//! Empty slabs that a heap has put aside, one of each class: closed, with their blocks as they
//! were.
//!
//! A loop that fills slabs and empties them finds them here again at the price of an atomic
//! exchange, and a purge by another thread finds them as well, so a thread that rests pins nothing.

use core::cell::Cell;
use core::ptr;

use crate::base::atomic::{AtomicBool, AtomicPtr, Ordering};
use crate::base::config::SPARE_BYTES;
use crate::block::size_class::{CLASSES, Class};
use crate::memory::depot;
use crate::memory::slab::Slab;

/// A place for a slab of each class. Its heap's thread puts, any thread takes.
pub(super) struct Spares {
    places: [Place; CLASSES],
    /// Whether there may be a slab in any, so that a purge need not look at each.
    filled: AtomicBool,
    /// Bytes carved of what was put here, taken by others or not. The heap's own.
    bytes: Cell<usize>,
}

struct Place(AtomicPtr<Slab>);

impl Spares {
    pub(super) const fn new() -> Self {
        Self {
            places: [const { Place(AtomicPtr::new(ptr::null_mut())) }; CLASSES],
            filled: AtomicBool::new(false),
            bytes: Cell::new(0),
        }
    }

    /// Puts a closed slab aside; what there is no room for goes to the depot.
    pub(super) fn put(&self, slab: &'static Slab) {
        let bytes = self.bytes.get().wrapping_add(slab.carved_bytes());
        if bytes > SPARE_BYTES {
            return depot::release(slab);
        }
        self.bytes.set(bytes);
        let Some(place) = self.places.get(slab.class().index()) else { return };
        let other = place.exchange(slab);
        // After: whoever finds this set finds the slab, and whoever looked too early leaves it set.
        self.filled.store(true, Ordering::Release);
        if let Some(other) = other {
            self.count_gone(other);
            depot::release(other);
        }
    }

    /// The slab of `class` put aside, if there is one.
    pub(super) fn take(&self, class: Class) -> Option<&'static Slab> {
        let place = self.places.get(class.index()).filter(|place| !place.is_empty())?;
        let slab = place.exchange(ptr::null())?;
        self.count_gone(slab);
        Some(slab)
    }

    fn count_gone(&self, slab: &Slab) {
        self.bytes.set(self.bytes.get().wrapping_sub(slab.carved_bytes()));
    }

    /// Gives all back to the depot. For the heap's thread.
    pub(super) fn give_back(&self) {
        if self.bytes.replace(0) != 0 {
            self.give_up();
        }
    }

    /// Gives all back to the depot. Any thread may.
    pub(super) fn give_up(&self) {
        // A thread that has none is the usual case: without a write, its line stays where it is.
        if !self.filled.load(Ordering::Relaxed) || !self.filled.swap(false, Ordering::Acquire) {
            return;
        }
        for place in self.places.iter().filter(|place| !place.is_empty()) {
            if let Some(slab) = place.exchange(ptr::null()) {
                depot::release(slab);
            }
        }
    }
}

impl Place {
    /// A moment's impression.
    fn is_empty(&self) -> bool {
        self.0.load(Ordering::Relaxed).is_null()
    }

    /// Puts `slab` here instead of what there was.
    fn exchange(&self, slab: *const Slab) -> Option<&'static Slab> {
        // Whoever takes a slab sees what the one who put it wrote there.
        // SAFETY: a slab that was put aside is nobody else's, and its chunk stays mapped: to the
        // depot its units are taken.
        unsafe { self.0.swap(slab.cast_mut(), Ordering::AcqRel).as_ref() }
    }
}
