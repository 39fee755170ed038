//! What becomes of a slab that has fallen empty: it stays current, becomes a spare, or goes to the
//! depot.

use core::ptr;

use super::{EMPTY, Heap, shared};
use crate::base::config::KEPT_BYTES;
use crate::block::size_class::Class;
use crate::memory::depot;
use crate::memory::slab::Slab;
use crate::os;

impl Heap {
    /// Keeps an empty slab current where it holds little; otherwise puts it aside.
    pub(super) fn keep(&'static self, slab: &'static Slab) {
        // It may have been kept before it fed a bin.
        self.unkeep(slab);
        let bytes = kept_bytes(slab);
        if self.kept_bytes.get().wrapping_add(bytes) > KEPT_BYTES && bytes < KEPT_BYTES {
            // A slab that has used blocks again does not count.
            for class in Class::in_set(self.kept.get()) {
                if self.slabs.current(class).used() > 0 {
                    self.unkeep(self.slabs.current(class));
                }
            }
        }
        let all = self.kept_bytes.get().wrapping_add(bytes);
        if all > KEPT_BYTES {
            self.set_current(slab.class(), &raw const EMPTY);
            return self.put_aside(slab);
        }
        if bytes != 0 {
            self.kept.set(self.kept.get() | (1 << slab.class().index()));
            self.kept_bytes.set(all);
        }
        slab.set_kept();
    }

    /// Ends the keeping of a slab that is about to change its state, or to be carved further.
    pub(super) fn unkeep(&self, slab: &Slab) {
        slab.unset_kept();
        let bit = 1 << slab.class().index();
        if self.kept.get() & bit != 0 {
            self.kept.set(self.kept.get() & !bit);
            self.kept_bytes.set(self.kept_bytes.get().wrapping_sub(kept_bytes(slab)));
        }
    }

    /// Makes an empty slab on no list a spare: the heap takes it again, unless a purge is first.
    pub(super) fn put_aside(&'static self, slab: &'static Slab) {
        if shared::is_shared(&self.inbox) || slab.has_absent() {
            return self.give_back(slab);
        }
        self.forget(slab);
        slab.close();
        self.uncount(slab);
        self.spares.put(slab);
    }

    /// Gives the current slab of `class` to the depot, if it is empty.
    pub(super) fn give_up_current(&'static self, class: Class) {
        let slab = self.slabs.current(class);
        if !ptr::eq(slab, &raw const EMPTY) && slab.used() == 0 {
            self.unkeep(slab);
            self.set_current(class, &raw const EMPTY);
            self.give_back(slab);
        }
    }

    /// Closes an empty slab on no list and gives it to the depot.
    pub(super) fn give_back(&'static self, slab: &'static Slab) {
        self.forget(slab);
        slab.close();
        self.uncount(slab);
        if shared::is_shared(&self.inbox) { shared::put_emptied(slab) } else { depot::release(slab) }
    }

    /// Gives the spares to the depot. Any thread may.
    pub(crate) fn give_up_spares(&self) {
        self.spares.give_up();
    }
}

/// Bytes by which keeping `slab` counts: none where it holds one OS page at most.
fn kept_bytes(slab: &Slab) -> usize {
    let bytes = slab.carved_bytes();
    if bytes <= os::page_bytes() { 0 } else { bytes }
}
