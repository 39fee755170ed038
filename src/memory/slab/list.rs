//! Slabs of one heap in a list, linked through their records.

use core::cell::Cell;
use core::ptr;

use super::Slab;

/// Slabs in a doubly linked list, in the order that its heap chooses. Only the heap's owner touches
/// it.
pub(crate) struct SlabList {
    first: Cell<*const Slab>,
    last: Cell<*const Slab>,
}

impl SlabList {
    pub(crate) const fn new() -> Self {
        Self { first: Cell::new(ptr::null()), last: Cell::new(ptr::null()) }
    }

    /// Empties the list and leaves its slabs' links as they are: for lists that are rebuilt.
    pub(crate) fn forget(&self) {
        self.first.set(ptr::null());
        self.last.set(ptr::null());
    }

    pub(crate) fn first(&self) -> Option<&'static Slab> {
        // SAFETY: slabs on a list have used blocks or are kept, so their chunk is mapped.
        unsafe { self.first.get().as_ref() }
    }

    /// The slab after `slab` on its list.
    pub(crate) fn after(slab: &Slab) -> Option<&'static Slab> {
        // SAFETY: as in `first`.
        unsafe { slab.next.get().as_ref() }
    }

    pub(crate) fn last(&self) -> Option<&'static Slab> {
        // SAFETY: as in `first`.
        unsafe { self.last.get().as_ref() }
    }

    pub(crate) fn push_first(&self, slab: &'static Slab) {
        let next = self.first.replace(slab);
        slab.previous.set(ptr::null());
        slab.next.set(next);
        // SAFETY: as in `first`.
        match unsafe { next.as_ref() } {
            Some(next) => next.previous.set(slab),
            None => self.last.set(slab),
        }
    }

    pub(crate) fn push_last(&self, slab: &'static Slab) {
        let previous = self.last.replace(slab);
        slab.next.set(ptr::null());
        slab.previous.set(previous);
        // SAFETY: as in `first`.
        match unsafe { previous.as_ref() } {
            Some(previous) => previous.next.set(slab),
            None => self.first.set(slab),
        }
    }

    /// Takes `slab`, which is on this list, off it.
    pub(crate) fn remove(&self, slab: &Slab) {
        let (previous, next) = (slab.previous.get(), slab.next.get());
        // SAFETY: as in `first`.
        match unsafe { previous.as_ref() } {
            Some(previous) => previous.next.set(next),
            None => self.first.set(next),
        }
        // SAFETY: as in `first`.
        match unsafe { next.as_ref() } {
            Some(next) => next.previous.set(previous),
            None => self.last.set(previous),
        }
    }

    pub(crate) fn pop(&self) -> Option<&'static Slab> {
        let first = self.first()?;
        self.remove(first);
        Some(first)
    }
}
