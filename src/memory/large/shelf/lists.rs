//! The lists of shelves with room, and the shelves' records.

use core::ptr::{self, NonNull};

use super::{Between, crowd};
use crate::base::atomic::in_order;
use crate::memory::records;
use crate::os::lock::Lock;

/// A set of slots, a bit each.
pub(super) type Slots = u64;

/// A shelf's record, which is never unmapped. `free ⊆ all`; on a list where `free` is not empty.
pub(super) struct Shelf {
    pub(super) start: NonNull<u8>,
    /// Bytes from one slot to the next: a power of two.
    pub(super) stride: usize,
    /// The slots that blocks may have: not the first where a guard must lie before each.
    pub(super) all: Slots,
    pub(super) free: Slots,
    pub(super) between: Between,
    /// Neighbours on the list.
    pub(super) next: *mut Self,
    pub(super) previous: *mut Self,
}

/// Shelves with room, by what is between their blocks and by the logarithm of their stride. Each
/// list is last in, first out.
pub(super) struct Shelves {
    with_room: [[*mut Shelf; usize::BITS as usize]; 2],
    /// Records of no shelf, linked by `next`.
    unused: *mut Shelf,
}

// SAFETY: the records belong to the table and are touched under its lock.
unsafe impl Send for Shelves {}

pub(super) static SHELVES: Lock<Shelves> =
    Lock::new(Shelves { with_room: [[ptr::null_mut(); usize::BITS as usize]; 2], unused: ptr::null_mut() });

/// Makes the lists whole that another thread of the parent was changing. For a child.
///
/// # Safety
/// As for [`Lock::mend`].
pub(in crate::memory::large) unsafe fn mend() {
    // SAFETY: forwarded to the caller.
    unsafe { SHELVES.mend(Shelves::mend) }
}

impl Shelves {
    /// The list of shelves with room, of that stride.
    fn list_of(&mut self, stride: usize, between: Between) -> Option<&mut *mut Shelf> {
        let [pages, guards] = &mut self.with_room;
        let lists = if between == Between::Pages { pages } else { guards };
        lists.get_mut(stride.trailing_zeros() as usize)
    }

    /// Takes a slot of a shelf that has a free one.
    pub(super) fn take_slot(
        &mut self,
        stride: usize,
        between: Between,
    ) -> Option<(NonNull<Shelf>, NonNull<u8>)> {
        let shelf = NonNull::new(*self.list_of(stride, between)?)?;
        // SAFETY: listed shelves are shelves, and the lock is held.
        unsafe {
            let record = &mut *shelf.as_ptr();
            if record.free == record.all {
                crowd::shelf_is_used();
            }
            let slot = record.free.trailing_zeros();
            record.free &= record.free.wrapping_sub(1);
            let start = record.start.byte_add(stride.wrapping_mul(slot as usize));
            if record.free == 0 {
                self.unlist(shelf);
            }
            Some((shelf, start))
        }
    }

    /// Takes the slot at `start` back. Whether the shelf has no block now.
    ///
    /// # Safety
    /// The slot is one of the shelf, and was taken.
    pub(super) unsafe fn put_slot(&mut self, shelf: NonNull<Shelf>, start: NonNull<u8>) -> bool {
        // SAFETY: forwarded to the caller; the lock is held.
        let record = unsafe { &mut *shelf.as_ptr() };
        let was_full = record.free == 0;
        let offset = start.addr().get().wrapping_sub(record.start.addr().get());
        record.free |= 1 << (offset >> record.stride.trailing_zeros());
        let is_empty = record.free == record.all;
        if is_empty {
            crowd::shelf_is_empty();
        }
        if was_full {
            self.list(shelf);
        }
        is_empty
    }

    /// Whether the list of a listed shelf has another one.
    pub(super) fn has_other(&self, shelf: NonNull<Shelf>) -> bool {
        // SAFETY: the shelf is listed, and the lock is held.
        let record = unsafe { shelf.as_ref() };
        !record.next.is_null() || !record.previous.is_null()
    }

    /// Puts a shelf on its list.
    pub(super) fn list(&mut self, shelf: NonNull<Shelf>) {
        // SAFETY: the record is a shelf's, and the lock is held.
        let (stride, between) = unsafe { (shelf.as_ref().stride, shelf.as_ref().between) };
        let Some(first) = self.list_of(stride, between) else { return };
        let next = *first;
        // SAFETY: as above, and so are those on the list.
        unsafe {
            (*shelf.as_ptr()).previous = ptr::null_mut();
            (*shelf.as_ptr()).next = next;
            // In a copy of the process that has the shelf listed, the rest of the list follows it.
            in_order();
            *first = shelf.as_ptr();
            if let Some(next) = next.as_mut() {
                next.previous = shelf.as_ptr();
            }
        }
    }

    /// Makes the lists whole again. Their `next` links are true at each moment. A shelf that was
    /// being listed or taken down may be on no list: it keeps its blocks, and gets no new ones. For
    /// a child.
    fn mend(&mut self) {
        for first in self.with_room.as_flattened_mut() {
            let mut next = core::mem::replace(first, ptr::null_mut());
            let mut last: *mut Shelf = ptr::null_mut();
            // SAFETY: records are never unmapped, and nobody else touches them now.
            while let Some(shelf) = unsafe { next.as_mut() } {
                let this = next;
                next = shelf.next;
                // A full one was being taken off.
                if shelf.free == 0 {
                    (shelf.previous, shelf.next) = (ptr::null_mut(), ptr::null_mut());
                    continue;
                }
                (shelf.previous, shelf.next) = (last, ptr::null_mut());
                // SAFETY: as above.
                match unsafe { last.as_mut() } {
                    Some(last) => last.next = this,
                    None => *first = this,
                }
                last = this;
            }
        }
    }

    /// Takes a shelf off its list.
    ///
    /// # Safety
    /// The shelf is listed.
    pub(super) unsafe fn unlist(&mut self, shelf: NonNull<Shelf>) {
        // SAFETY: listed shelves are shelves, and the lock is held.
        unsafe {
            let Shelf { next, previous, stride, between, .. } = shelf.read();
            if let Some(next) = next.as_mut() {
                next.previous = previous;
            }
            match (previous.as_mut(), self.list_of(stride, between)) {
                (Some(previous), _) => previous.next = next,
                (None, Some(first)) => *first = next,
                (None, None) => {}
            }
            (*shelf.as_ptr()).next = ptr::null_mut();
            (*shelf.as_ptr()).previous = ptr::null_mut();
        }
    }

    /// Takes a shelf without blocks off its list.
    pub(super) fn pop_empty(&mut self) -> Option<NonNull<Shelf>> {
        let firsts = self.with_room.as_flattened().iter().copied();
        // SAFETY: listed shelves are shelves, and the lock is held.
        let next = |shelf: &NonNull<Shelf>| NonNull::new(unsafe { shelf.as_ref() }.next);
        let mut shelves =
            firsts.filter_map(NonNull::new).flat_map(|first| core::iter::successors(Some(first), next));
        // SAFETY: as above.
        let empty = shelves.find(|shelf| unsafe { shelf.as_ref().free == shelf.as_ref().all })?;
        // SAFETY: it is listed.
        unsafe { self.unlist(empty) };
        Some(empty)
    }

    /// A record for a shelf, which is the caller's alone.
    pub(super) fn take_record(&mut self) -> Option<NonNull<Shelf>> {
        let Some(unused) = NonNull::new(self.unused) else {
            return Some(records::take(size_of::<Shelf>())?.cast());
        };
        // SAFETY: it was written by `put_record`, and the lock is held.
        self.unused = unsafe { unused.as_ref() }.next;
        Some(unused)
    }

    /// Takes the record of a shelf back that was taken down, or never was one.
    pub(super) fn put_record(&mut self, shelf: NonNull<Shelf>) {
        // SAFETY: nobody else knows of the record; its `next` alone is read from here on.
        unsafe { (&raw mut (*shelf.as_ptr()).next).write(self.unused) };
        in_order();
        self.unused = shelf.as_ptr();
    }
}
