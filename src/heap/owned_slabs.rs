//! The owned-slab cache: some of the slabs that take frees of a heap, by address.
//!
//! Two direct-mapped tables by unit number. The near one is part of the heap, and the fast frees
//! look there. The far one is made for a heap of more slabs than the near one has entries, and slow
//! frees begin with a look there.
//!
//! The owner enters and removes. A helper removes too, and pins the slab's chunk: the owner may be
//! about to follow the entry.

use core::ptr;

use static_assertions::const_assert;

use super::EMPTY;
use crate::base::atomic::{AtomicPtr, Ordering};
use crate::base::config::{FAR_SLABS, NEAR_SLABS, UNIT_BYTES};
use crate::memory::records;
use crate::memory::slab::Slab;

/// Entries are a slab that [takes frees of the heap](Slab::takes_frees_of), [`EMPTY`], or, in the
/// far table alone, null.
type Entry = AtomicPtr<Slab>;

pub(super) struct OwnedSlabs {
    /// Never null.
    near: [Entry; NEAR_SLABS],
    far: AtomicPtr<[Entry; FAR_SLABS]>,
}

const fn empty() -> *mut Slab {
    (&raw const EMPTY).cast_mut()
}

impl OwnedSlabs {
    pub(super) const fn new() -> Self {
        Self { near: [const { Entry::new(empty()) }; NEAR_SLABS], far: AtomicPtr::new(ptr::null_mut()) }
    }

    /// The slab with the block at `address`, if the near table has it; else another one, or the
    /// empty one.
    #[inline(always)]
    pub(super) fn near(&self, address: usize) -> &'static Slab {
        // SAFETY: the entries are the empty slab or slabs of this heap, whose chunks are mapped. A
        // helper that takes such a slab pins its chunk.
        unsafe { &*self.near_entry(address).load(Ordering::Relaxed) }
    }

    /// As [`near`](Self::near), of the far table; none where it has none.
    #[inline(always)]
    pub(super) fn far(&self, address: usize) -> Option<&'static Slab> {
        // SAFETY: as in `near`, or null.
        unsafe { self.far_entry(address)?.load(Ordering::Relaxed).as_ref() }
    }

    #[inline(always)]
    fn near_entry(&self, address: usize) -> &Entry {
        // SAFETY: the remainder is below the array's length.
        unsafe { self.near.get_unchecked(address / UNIT_BYTES % NEAR_SLABS) }
    }

    #[inline(always)]
    fn far_entry(&self, address: usize) -> Option<&Entry> {
        // SAFETY: the table is never unmapped.
        let far = unsafe { self.far.load(Ordering::Acquire).as_ref() }?;
        // SAFETY: the remainder is below the array's length.
        Some(unsafe { far.get_unchecked(address / UNIT_BYTES % FAR_SLABS) })
    }

    /// The entries of both tables for `address`.
    #[inline]
    fn entries(&self, address: usize) -> impl Iterator<Item = &Entry> {
        core::iter::once(self.near_entry(address)).chain(self.far_entry(address))
    }

    /// Makes the far table, if a heap of so many `units` needs it and has none. Without memory
    /// there is none.
    #[inline]
    pub(super) fn make_far(&self, units: usize) {
        if units > NEAR_SLABS && self.far.load(Ordering::Relaxed).is_null() {
            let table = records::take(FAR_SLABS.wrapping_mul(size_of::<Entry>()));
            // Fresh records are all zero.
            self.far.store(table.map_or(ptr::null_mut(), |table| table.cast().as_ptr()), Ordering::Release);
        }
    }

    /// Enters `slab`, of one unit. Others may be forgotten for it.
    #[inline]
    pub(super) fn enter(&self, slab: &'static Slab) {
        for entry in self.entries(slab.base()) {
            // Release: a helper that sees the entry replaced knows that the owner uses the old slab
            // no more.
            entry.store(ptr::from_ref(slab).cast_mut(), Ordering::Release);
        }
    }

    /// Removes `slab`.
    pub(super) fn remove(&self, slab: &Slab) {
        for entry in self.entries(slab.base()) {
            if ptr::eq(entry.load(Ordering::Relaxed), slab) {
                entry.store(empty(), Ordering::Release);
            }
        }
    }

    /// Removes the slabs `which`.
    pub(super) fn remove_all(&self, which: impl Fn(&Slab) -> bool) {
        // SAFETY: the table is never unmapped.
        let far = unsafe { self.far.load(Ordering::Acquire).as_ref() };
        for entry in self.near.iter().chain(far.into_iter().flatten()) {
            // SAFETY: as in `near`, or null.
            if unsafe { entry.load(Ordering::Relaxed).as_ref() }.is_some_and(&which) {
                entry.store(empty(), Ordering::Release);
            }
        }
    }

    /// Removes `slab` for a helper. Whether it was there: then the owner may be about to use it.
    pub(super) fn take(&self, slab: &Slab) -> bool {
        let this = ptr::from_ref(slab).cast_mut();
        self.entries(slab.base()).fold(false, |was_there, entry| {
            // Acquire, if there is another: the owner uses this slab no more.
            let taken = entry.compare_exchange(this, empty(), Ordering::Relaxed, Ordering::Acquire);
            was_there | taken.is_ok()
        })
    }
}

const_assert!(NEAR_SLABS.is_power_of_two() && FAR_SLABS.is_power_of_two());
