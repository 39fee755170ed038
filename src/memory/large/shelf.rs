//! Shelves: mappings that many blocks share, each block in a place of its own.
//!
//! A block whose alignment is greater than its length leaves most of its mapping to be cut off, so that no two
//! such mappings can become one, and the kernel has a limit to how many there are. On a shelf what lies between
//! two blocks stays mapped and is never touched. A place reads as zero while nobody has it, and none of its pages
//! is resident; where there are guards, nobody can touch it.

use core::num::NonZeroUsize;
use core::ptr::{self, NonNull};

use super::crowd;
use super::range::Range;
use crate::base::address::{align_down, align_up};
use crate::base::atomic::in_order;
use crate::base::atomic::{AtomicUsize, Ordering};
use crate::base::config::SHELF_BYTES;
use crate::memory::records;
use crate::memory::stray;
use crate::os;
use crate::os::lock::Lock;
use crate::os::watch;
use crate::policy::options::{self, HugePagePolicy};

/// A bit of a range's mapping number, below those of `range`: the range is a place of a shelf, whose record's
/// address the lower bits are.
const SHELVED: u64 = 1 << 59;

/// A set of places, one bit a place.
type Places = u64;

/// What is between two blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Between {
    /// Pages that nobody touches.
    Pages,
    /// Guards, marks in the page tables; so are places that nobody has.
    Guards,
}

/// A shelf's record. `free ⊆ all`; on a list where `free` is not empty.
struct Shelf {
    start: NonNull<u8>,
    /// Bytes from one place to the next: a power of two.
    stride: usize,
    /// The places that blocks may have: not the first where a guard must lie before each.
    all: Places,
    free: Places,
    between: Between,
    next: *mut Self,
    previous: *mut Self,
}

/// Shelves with room, by what is between their blocks and by the logarithm of their stride.
struct Shelves {
    with_room: [[*mut Shelf; usize::BITS as usize]; 2],
    /// Records of no shelf, linked by `next`.
    unused: *mut Shelf,
}

// SAFETY: the records belong to the table and are touched under its lock.
unsafe impl Send for Shelves {}

static SHELVES: Lock<Shelves> =
    Lock::new(Shelves { with_room: [[ptr::null_mut(); usize::BITS as usize]; 2], unused: ptr::null_mut() });

/// Bytes of address space on shelves that no block has.
static SPARE_BYTES: AtomicUsize = AtomicUsize::new(0);

/// The shelf mapped last: below it the next is aligned, and the kernel makes one mapping of both.
static LAST: AtomicUsize = AtomicUsize::new(0);

/// See [`SPARE_BYTES`].
pub(super) fn spare_bytes() -> usize {
    SPARE_BYTES.load(Ordering::Relaxed)
}

/// Makes the lists whole that another thread of the parent was changing. For a child.
///
/// # Safety
/// As for [`Lock::mend`].
pub(super) unsafe fn mend() {
    // SAFETY: forwarded to the caller.
    unsafe { SHELVES.mend(Shelves::mend) }
}

/// Whether `range` is a place of a shelf.
pub(super) const fn is_on(range: Range) -> bool {
    range.mapping & SHELVED != 0
}

/// The record of the shelf that `range` is on.
fn shelf_of(range: Range) -> NonNull<Shelf> {
    let address = (range.mapping & !SHELVED) as usize;
    // SAFETY: the number was made from a record's address.
    unsafe { NonNull::new_unchecked(ptr::with_exposed_provenance_mut(address)) }
}

/// Bytes of a guard between two blocks.
fn guard_bytes(between: Between) -> usize {
    if between == Between::Guards { os::page_bytes() } else { 0 }
}

/// Fresh memory on a shelf, which reads as zero.
pub(super) fn take(bytes: usize, align: usize, between: Between) -> Option<Range> {
    // Locked mappings are resident, all of them.
    if options::get().lock_in_memory {
        return None;
    }
    let stride = bytes.checked_add(guard_bytes(between))?.checked_next_power_of_two()?.max(align);
    let found = SHELVES.lock().take_place(stride, between);
    let (shelf, start) = match found {
        Some(place) => place,
        None => put_up(stride, between)?,
    };
    let range = Range { start, bytes, mapping: SHELVED | shelf.as_ptr().expose_provenance() as u64 };
    // SAFETY: the place is this function's own.
    if between == Between::Guards && unsafe { os::remove_guard(start, bytes) }.is_err() {
        give_place_back(range);
        return None;
    }
    SPARE_BYTES.fetch_sub(bytes, Ordering::Relaxed);
    Some(range)
}

/// Takes a range back, without its pages.
///
/// # Safety
/// The caller gives up the range, which is on a shelf.
pub(super) unsafe fn put(range: Range) {
    watch::open(range.start.as_ptr(), range.bytes);
    SPARE_BYTES.fetch_add(range.bytes, Ordering::Relaxed);
    // SAFETY: forwarded to the caller.
    if unsafe { clear(range.start, range.bytes, between_of(range)) } {
        give_place_back(range);
    } else {
        // A place that could be touched is one no more.
        stray::note_lost(range.bytes);
    }
}

fn between_of(range: Range) -> Between {
    // SAFETY: the record of a shelf with a block on it is one, and this field of it does not change.
    unsafe { (*shelf_of(range).as_ptr()).between }
}

/// Makes memory of a place what it is while nobody has it. False where it cannot be guarded again.
///
/// # Safety
/// The range belongs to the caller, and nothing refers to it.
unsafe fn clear(start: NonNull<u8>, bytes: usize, between: Between) -> bool {
    // SAFETY: forwarded to the caller.
    unsafe {
        if between == Between::Guards && os::install_guard(start, bytes).is_ok() {
            return true;
        }
        if os::discard(start, bytes).is_err() {
            start.write_bytes(0, bytes);
        }
    }
    between == Between::Pages
}

/// Resizes a range within its place. None where that is too small, and nothing is changed.
///
/// # Safety
/// The caller gives up what a shrink cuts off.
pub(super) unsafe fn resize(range: Range, bytes: usize) -> Option<Range> {
    let between = between_of(range);
    // SAFETY: as in `between_of`.
    let stride = unsafe { (*shelf_of(range).as_ptr()).stride };
    if bytes.wrapping_add(guard_bytes(between)) > stride {
        return None;
    }
    let (less, more) = (range.bytes.saturating_sub(bytes), bytes.saturating_sub(range.bytes));
    // SAFETY: both ends lie in the place.
    let edge = unsafe { range.start.byte_add(range.bytes.min(bytes)) };
    // SAFETY: what the range grows by is of its place, and what is cut off the caller gives up.
    let done = unsafe {
        match between {
            _ if less != 0 => clear(edge, less, between),
            Between::Guards => os::remove_guard(edge, more).is_ok(),
            Between::Pages => true,
        }
    };
    if !done {
        return None;
    }
    SPARE_BYTES.fetch_add(less, Ordering::Relaxed);
    SPARE_BYTES.fetch_sub(more, Ordering::Relaxed);
    Some(Range { bytes, ..range })
}

/// Maps one more shelf, and takes a place of it.
fn put_up(stride: usize, between: Between) -> Option<(NonNull<Shelf>, NonNull<u8>)> {
    let all = places(stride, between);
    let bytes = stride.checked_mul(Places::BITS.wrapping_sub(all.leading_zeros()) as usize)?;
    // SAFETY: under the lock, the record is nobody else's.
    let shelf = SHELVES.lock().record()?;
    let Some(start) = map(bytes, stride, between) else {
        SHELVES.lock().drop_record(shelf);
        return None;
    };
    let shelf_record =
        Shelf { start, stride, all, free: all, between, next: ptr::null_mut(), previous: ptr::null_mut() };
    // SAFETY: the record is this function's own until it is on a list.
    unsafe { shelf.write(shelf_record) };
    SPARE_BYTES.fetch_add(bytes, Ordering::Relaxed);
    let mut shelves = SHELVES.lock();
    shelves.list(shelf);
    shelves.take_place(stride, between)
}

/// The places of a shelf: as many as fit into [`SHELF_BYTES`], at least one and at most a word has bits for.
fn places(stride: usize, between: Between) -> Places {
    let count = SHELF_BYTES.checked_div(stride).unwrap_or(0).clamp(1, Places::BITS as usize) as u32;
    let first = u32::from(between == Between::Guards);
    let count = count.wrapping_add(first).min(Places::BITS);
    (Places::MAX >> Places::BITS.wrapping_sub(count)) & (Places::MAX << first)
}

/// Memory for a shelf, aligned to `align`.
fn map(bytes: usize, align: usize, between: Between) -> Option<NonNull<u8>> {
    let start = map_aligned(bytes, align)?;
    LAST.store(start.addr().get(), Ordering::Relaxed);
    if options::get().huge_pages != HugePagePolicy::Always {
        // One would stand for what is never touched.
        // SAFETY: just mapped. What the kernel does not do, it does not do.
        let _ = unsafe { os::advise_not_huge(start, bytes) };
    }
    // SAFETY: as above.
    if between == Between::Guards && unsafe { os::install_guard(start, bytes) }.is_err() {
        // SAFETY: as above.
        unsafe { stray::give_back(start, bytes) };
        return None;
    }
    Some(start)
}

fn map_aligned(bytes: usize, align: usize) -> Option<NonNull<u8>> {
    let below = align_down(LAST.load(Ordering::Relaxed).saturating_sub(bytes), align);
    if let Some(below) = NonZeroUsize::new(below) {
        let start = os::map_unreserved(Some(below), bytes).ok()?;
        if start.addr().get().is_multiple_of(align) {
            return Some(start);
        }
        // SAFETY: just mapped, and nobody knows of it.
        unsafe { stray::give_back(start, bytes) };
    }
    let wide = bytes.checked_add(align)?;
    let start = os::map_unreserved(None, wide).ok()?;
    let address = start.addr().get();
    let head = align_up(address, align).wrapping_sub(address);
    // SAFETY: the aligned part lies inside the mapping, and nobody knows of the rest.
    unsafe {
        let aligned = start.byte_add(head);
        if head != 0 {
            stray::give_back(start, head);
        }
        if head != align {
            stray::give_back(aligned.byte_add(bytes), align.wrapping_sub(head));
        }
        Some(aligned)
    }
}

/// Gives a place that is as nobody has it back to its shelf, and the shelf to the kernel, if that has no block now
/// and there is another one like it.
fn give_place_back(range: Range) {
    let shelf = shelf_of(range);
    let is_crowded = crowd::is_crowded();
    let mut shelves = SHELVES.lock();
    // SAFETY: under the lock; the shelf has a place that was taken, so its record is one.
    let emptied = unsafe { shelves.give_place(shelf, range.start) };
    let is_spare = emptied && !is_crowded && shelves.has_other(shelf);
    if is_spare {
        // SAFETY: under the lock, and it has room.
        unsafe { shelves.unlist(shelf) };
    }
    drop(shelves);
    if is_spare {
        take_down(shelf);
    }
}

/// Unmaps the shelves that have no block, unless there would be too many mappings.
pub(super) fn release_empty() {
    while !crowd::is_crowded() {
        let empty = SHELVES.lock().pop_empty();
        let Some(shelf) = empty else { return };
        take_down(shelf);
    }
}

/// Unmaps a shelf without blocks, which is on no list.
fn take_down(shelf: NonNull<Shelf>) {
    // SAFETY: nobody else knows of the record.
    let Shelf { start, stride, all, between, .. } = unsafe { shelf.read() };
    let bytes = stride.wrapping_mul(Places::BITS.wrapping_sub(all.leading_zeros()) as usize);
    SPARE_BYTES.fetch_sub(bytes, Ordering::Relaxed);
    // SAFETY: no block is on the shelf.
    unsafe {
        match between {
            Between::Pages => stray::give_back(start, bytes),
            Between::Guards => {
                if os::unmap(start, bytes).is_err() && !stray::note(start, bytes) {
                    stray::note_lost(bytes);
                }
            }
        }
    }
    SHELVES.lock().drop_record(shelf);
}

impl Shelves {
    /// The list of shelves with room of that stride.
    fn list_of(&mut self, stride: usize, between: Between) -> Option<&mut *mut Shelf> {
        let [pages, guards] = &mut self.with_room;
        let lists = if between == Between::Pages { pages } else { guards };
        lists.get_mut(stride.trailing_zeros() as usize)
    }

    /// Takes a place of a shelf that has one.
    fn take_place(&mut self, stride: usize, between: Between) -> Option<(NonNull<Shelf>, NonNull<u8>)> {
        let shelf = NonNull::new(*self.list_of(stride, between)?)?;
        // SAFETY: listed shelves are shelves, and the lock is held.
        unsafe {
            let record = &mut *shelf.as_ptr();
            if record.free == record.all {
                crowd::shelf_is_used();
            }
            let place = record.free.trailing_zeros();
            record.free &= record.free.wrapping_sub(1);
            let start = record.start.byte_add(stride.wrapping_mul(place as usize));
            if record.free == 0 {
                self.unlist(shelf);
            }
            Some((shelf, start))
        }
    }

    /// Takes the place at `start` back. Whether the shelf has no block now.
    ///
    /// # Safety
    /// The place is one of the shelf, and was taken.
    unsafe fn give_place(&mut self, shelf: NonNull<Shelf>, start: NonNull<u8>) -> bool {
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
    fn has_other(&self, shelf: NonNull<Shelf>) -> bool {
        // SAFETY: the shelf is listed, and the lock is held.
        let record = unsafe { shelf.as_ref() };
        !record.next.is_null() || !record.previous.is_null()
    }

    fn list(&mut self, shelf: NonNull<Shelf>) {
        // SAFETY: the record is a shelf's, and the lock is held.
        let (stride, between) = unsafe { (shelf.as_ref().stride, shelf.as_ref().between) };
        let Some(first) = self.list_of(stride, between) else { return };
        let next = *first;
        // SAFETY: as above, and so are those on the list.
        unsafe {
            (*shelf.as_ptr()).previous = ptr::null_mut();
            (*shelf.as_ptr()).next = next;
            // A copy of the process that has the shelf listed has the rest behind it.
            in_order();
            *first = shelf.as_ptr();
            if let Some(next) = next.as_mut() {
                next.previous = shelf.as_ptr();
            }
        }
    }

    /// Makes lists whole again, whose `next` links are true at each moment. A shelf that was being listed or taken
    /// down may be on none: it keeps its blocks, and gets no new ones. For a child.
    fn mend(&mut self) {
        for first in self.with_room.as_flattened_mut() {
            let mut next = core::mem::replace(first, ptr::null_mut());
            let mut last: *mut Shelf = ptr::null_mut();
            // SAFETY: records are never unmapped, and nobody else touches them now.
            while let Some(shelf) = unsafe { next.as_mut() } {
                let this = next;
                next = shelf.next;
                // One that is full was about to leave.
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

    /// # Safety
    /// The shelf is listed.
    unsafe fn unlist(&mut self, shelf: NonNull<Shelf>) {
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
    fn pop_empty(&mut self) -> Option<NonNull<Shelf>> {
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

    /// A record for a shelf.
    fn record(&mut self) -> Option<NonNull<Shelf>> {
        let Some(unused) = NonNull::new(self.unused) else {
            return Some(records::take(size_of::<Shelf>())?.cast());
        };
        // SAFETY: it was written by `drop_record`, and the lock is held.
        self.unused = unsafe { unused.as_ref() }.next;
        Some(unused)
    }

    fn drop_record(&mut self, shelf: NonNull<Shelf>) {
        // SAFETY: nobody else knows of the record; its `next` alone is read from here on.
        unsafe { (&raw mut (*shelf.as_ptr()).next).write(self.unused) };
        in_order();
        self.unused = shelf.as_ptr();
    }
}
