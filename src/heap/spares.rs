//! Empty slabs that a heap has put aside: closed, with their blocks as they were.
//!
//! A loop over a few long blocks finds its slab here again at the price of an atomic exchange,
//! and a purge by another thread finds it as well, so a thread that rests pins nothing with it.

use core::cell::Cell;
use core::ptr;

use crate::config::{SPARE_BYTES, SPARES};
use crate::depot;
use crate::size_class::Class;
use crate::slab::Slab;
use crate::sync::atomic::{AtomicPtr, Ordering};

/// A direct-mapped table from class to slab. Its heap's thread puts, any thread takes.
pub(super) struct Spares([Place; SPARES]);

struct Place {
    slab: AtomicPtr<Slab>,
    /// Bytes carved of the last one put here, gone or not. The heap's own.
    bytes: Cell<usize>,
}

impl Spares {
    pub(super) const fn new() -> Self {
        Self([const { Place { slab: AtomicPtr::new(ptr::null_mut()), bytes: Cell::new(0) } }; SPARES])
    }

    /// Puts a closed slab aside; what must make way for it, or itself if it is too long, goes to the
    /// depot.
    pub(super) fn put(&self, slab: &'static Slab) {
        let bytes = slab.carved_bytes();
        let Some(place) = self.0.get(slab.class().index() % SPARES).filter(|_| bytes <= SPARE_BYTES) else {
            return depot::release(slab);
        };
        let have = self.0.iter().filter(|place| !place.is_empty()).map(|place| place.bytes.get());
        if have.fold(bytes, usize::wrapping_add) > SPARE_BYTES {
            self.give_back();
        }
        place.bytes.set(bytes);
        if let Some(other) = place.exchange(slab) {
            depot::release(other);
        }
    }

    /// The slab of `class` put aside, if there is one.
    pub(super) fn take(&self, class: Class) -> Option<&'static Slab> {
        let place = self.0.get(class.index() % SPARES)?;
        if place.is_empty() {
            return None;
        }
        let slab = place.exchange(ptr::null())?;
        if slab.class() == class {
            return Some(slab);
        }
        depot::release(slab);
        None
    }

    /// Gives all back to the depot.
    pub(super) fn give_back(&self) {
        for place in &self.0 {
            if let Some(slab) = place.exchange(ptr::null()) {
                depot::release(slab);
            }
        }
    }
}

impl Place {
    /// A moment's impression.
    fn is_empty(&self) -> bool {
        self.slab.load(Ordering::Relaxed).is_null()
    }

    /// Puts `slab` here instead of what there was.
    fn exchange(&self, slab: *const Slab) -> Option<&'static Slab> {
        // Whoever takes a slab sees what the one who put it wrote there.
        // SAFETY: a slab that was put aside is nobody else's, and its chunk stays mapped: to the
        // depot its units are taken.
        unsafe { self.slab.swap(slab.cast_mut(), Ordering::AcqRel).as_ref() }
    }
}
