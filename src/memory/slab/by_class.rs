//! The bins of a heap: for each class the slab that it allocates from, and the slabs with room.

use core::cell::Cell;

use super::{Slab, SlabList};
use crate::block::size_class::{CLASSES, Class};

/// The *current* slab of each class, from which it allocates, and its *partial* slabs, which may
/// have a free block: the one to be used next comes first.
#[repr(C)]
pub(crate) struct SlabsByClass {
    /// Never null: an empty slab of the heap's stands for none.
    current: [Cell<*const Slab>; CLASSES],
    partial: [SlabList; CLASSES],
}

impl SlabsByClass {
    /// SlabsByClass without partial slabs.
    pub(crate) const fn new(current: [Cell<*const Slab>; CLASSES]) -> Self {
        Self { current, partial: [const { SlabList::new() }; CLASSES] }
    }

    /// Forgets all slabs, whatever was held. `empty` stands for none.
    pub(crate) fn clear(&self, empty: *const Slab) {
        self.current.iter().for_each(|current| current.set(empty));
        self.partial.iter().for_each(SlabList::forget);
    }

    /// The current slab of `class`.
    #[inline(always)]
    pub(crate) fn current(&self, class: Class) -> &'static Slab {
        // SAFETY: `class.index()` is below CLASSES, the array's length.
        let slab = unsafe { self.current.get_unchecked(class.index()) };
        // SAFETY: it is the empty slab or one of the heap, whose chunk is mapped.
        unsafe { &*slab.get() }
    }

    #[inline]
    pub(crate) fn set_current(&self, class: Class, slab: *const Slab) {
        // SAFETY: as above.
        unsafe { self.current.get_unchecked(class.index()) }.set(slab);
    }

    /// The partial slabs of `class`.
    #[inline]
    pub(crate) fn partial(&self, class: Class) -> &SlabList {
        // SAFETY: as above.
        unsafe { self.partial.get_unchecked(class.index()) }
    }
}
