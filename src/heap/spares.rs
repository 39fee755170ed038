//! Empty slabs that a heap has put aside: closed, with their blocks as they were.
//!
//! A loop over a few long blocks finds its slab here again at the price of an atomic exchange,
//! and a purge by another thread finds it as well, so a thread that rests pins nothing with it.

use core::ptr;

use crate::config::{SPARE_BYTES, SPARES};
use crate::depot;
use crate::size_class::Class;
use crate::slab::Slab;
use crate::sync::atomic::{AtomicPtr, Ordering};

/// A direct-mapped table from class to slab. Its heap's thread puts, any thread takes.
pub(super) struct Spares([AtomicPtr<Slab>; SPARES]);

impl Spares {
    pub(super) const fn new() -> Self {
        Self([const { AtomicPtr::new(ptr::null_mut()) }; SPARES])
    }

    /// Puts a closed slab aside; what lay in its place, or is too long for one, goes to the depot.
    pub(super) fn put(&self, slab: &'static Slab) {
        let other = match self.0.get(slab.class().index() % SPARES) {
            Some(place) if slab.carved_bytes() <= SPARE_BYTES => exchange(place, slab),
            _ => Some(slab),
        };
        if let Some(other) = other {
            depot::release(other);
        }
    }

    /// The slab of `class` put aside, if there is one.
    pub(super) fn take(&self, class: Class) -> Option<&'static Slab> {
        let place = self.0.get(class.index() % SPARES)?;
        if place.load(Ordering::Relaxed).is_null() {
            return None;
        }
        let slab = exchange(place, ptr::null())?;
        if slab.class() == class {
            return Some(slab);
        }
        depot::release(slab);
        None
    }

    /// Gives all back to the depot.
    pub(super) fn give_back(&self) {
        for place in &self.0 {
            if let Some(slab) = exchange(place, ptr::null()) {
                depot::release(slab);
            }
        }
    }
}

/// Puts `slab` in the place of what it had.
fn exchange(place: &AtomicPtr<Slab>, slab: *const Slab) -> Option<&'static Slab> {
    // Whoever takes a slab sees what the one who put it wrote there.
    // SAFETY: a slab that was put aside is nobody else's, and its chunk stays mapped: to the
    // depot its units are taken.
    unsafe { place.swap(slab.cast_mut(), Ordering::AcqRel).as_ref() }
}
