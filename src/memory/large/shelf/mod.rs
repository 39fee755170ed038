//! Shelves: mappings that many blocks share, each block in a slot of its own.
//!
//! A block whose alignment is greater than its length leaves most of its mapping to be cut off. No
//! two such mappings can become one, and the kernel limits their number. On a shelf the memory
//! between two blocks stays mapped and is never touched. A slot reads as zero while no block has
//! it, and none of its pages is resident; where there are guards, nobody can touch it.
//!
//! This file takes slots and gives them back; `lists` has the lists of shelves with room.
//!
//! State: [`Shelves`] under one lock, under which only the lock of `records` is taken; the address
//! of the last shelf and the bytes of free slots, in atomic words. The kernel is called without the
//! lock.

use core::ptr::{self, NonNull};

use super::crowd;
use super::mapping_id::MappingId;
use super::range::Range;
use crate::base::atomic::{AtomicUsize, Ordering};
use crate::base::config::SHELF_BYTES;
use crate::memory::advice::advise;
use crate::memory::{aligned, pending};
use crate::os;
use crate::os::watch;
use crate::policy::huge;
use crate::policy::options;

mod lists;

pub(super) use lists::mend;
use lists::{SHELVES, Shelf, Slots};

/// What is between two blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Between {
    /// Pages that nobody touches.
    Pages,
    /// Guards, marks in the page tables; free slots are guarded, too.
    Guards,
}

/// Bytes of address space on shelves that no block has.
static SPARE_BYTES: AtomicUsize = AtomicUsize::new(0);

/// The shelf mapped last; zero before the first.
static LAST: AtomicUsize = AtomicUsize::new(0);

/// Bytes of address space on shelves that no block has.
pub(super) fn spare_bytes() -> usize {
    SPARE_BYTES.load(Ordering::Relaxed)
}

/// The record of the shelf that a shelved `range` is on; none of another range.
fn shelf_of(range: Range) -> Option<NonNull<Shelf>> {
    NonNull::new(ptr::with_exposed_provenance_mut(range.mapping.shelf_address()?))
}

/// The stride of that shelf, and what is between its blocks.
fn shape_of(range: Range) -> Option<(usize, Between)> {
    let shelf = shelf_of(range)?.as_ptr();
    // SAFETY: a shelf with a block is not taken down, and these fields of its record do not change.
    unsafe { Some(((*shelf).stride, (*shelf).between)) }
}

/// Bytes of a guard between two blocks.
fn guard_bytes(between: Between) -> usize {
    if between == Between::Guards { os::page_bytes() } else { 0 }
}

/// Fresh memory on a shelf, which reads as zero.
pub(super) fn take(bytes: usize, align: usize, between: Between) -> Option<Range> {
    // All of a locked mapping is resident, free slots too.
    if options::get().lock_in_memory {
        return None;
    }
    let stride = bytes.checked_add(guard_bytes(between))?.checked_next_power_of_two()?.max(align);
    let found = SHELVES.lock().take_slot(stride, between);
    let (shelf, start) = match found {
        Some(slot) => slot,
        None => put_up(stride, between)?,
    };
    let mapping = MappingId::on_shelf(shelf.as_ptr().expose_provenance());
    let range = Range { start, bytes, mapping };
    // SAFETY: the slot is this function's own.
    if between == Between::Guards && unsafe { os::remove_guard(start, bytes) }.is_err() {
        give_slot_back(range);
        return None;
    }
    SPARE_BYTES.fetch_sub(bytes, Ordering::Relaxed);
    Some(range)
}

/// Takes a shelved range back, and gives its pages to the kernel.
///
/// # Safety
/// The caller gives up the range, which is on a shelf.
pub(super) unsafe fn put(range: Range) {
    watch::open(range.start.as_ptr(), range.bytes);
    SPARE_BYTES.fetch_add(range.bytes, Ordering::Relaxed);
    let Some((_, between)) = shape_of(range) else { return };
    // Where the kernel refuses the guards, the free slot reads as zero and can be touched. What
    // lies around it stays guarded, and to open a slot without guards changes nothing.
    // SAFETY: forwarded to the caller.
    let _ = unsafe { clear(range.start, range.bytes, between) };
    give_slot_back(range);
}

/// Makes memory of a slot as it is while no block has it. False where it cannot be guarded again.
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

/// Resizes a shelved range within its slot. None where that is too small, and nothing is changed.
///
/// # Safety
/// The caller gives up what a shrink cuts off.
pub(super) unsafe fn resize(range: Range, bytes: usize) -> Option<Range> {
    let (stride, between) = shape_of(range)?;
    if bytes.wrapping_add(guard_bytes(between)) > stride {
        return None;
    }
    let (less, more) = (range.bytes.saturating_sub(bytes), bytes.saturating_sub(range.bytes));
    // SAFETY: both ends lie in the slot.
    let edge = unsafe { range.start.byte_add(range.bytes.min(bytes)) };
    // SAFETY: the range grows within its slot, and the caller gives up what is cut off.
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

/// Maps one more shelf, and takes a slot of it.
fn put_up(stride: usize, between: Between) -> Option<(NonNull<Shelf>, NonNull<u8>)> {
    let all = slots(stride, between);
    let bytes = mapped_bytes(stride, all)?;
    // A statement of its own: the lock must end before the kernel is called.
    let shelf = SHELVES.lock().take_record()?;
    let Some(start) = map(bytes, stride, between) else {
        SHELVES.lock().put_record(shelf);
        return None;
    };
    let record =
        Shelf { start, stride, all, free: all, between, next: ptr::null_mut(), previous: ptr::null_mut() };
    // SAFETY: the record is this function's own until it is on a list.
    unsafe { shelf.write(record) };
    SPARE_BYTES.fetch_add(bytes, Ordering::Relaxed);
    let mut shelves = SHELVES.lock();
    shelves.list(shelf);
    shelves.take_slot(stride, between)
}

/// The slots of a shelf: as many as fit into [`SHELF_BYTES`], at least one and at most a word has
/// bits for.
fn slots(stride: usize, between: Between) -> Slots {
    let count = SHELF_BYTES.checked_div(stride).unwrap_or(0).clamp(1, Slots::BITS as usize) as u32;
    let first = u32::from(between == Between::Guards);
    let count = count.wrapping_add(first).min(Slots::BITS);
    (Slots::MAX >> Slots::BITS.wrapping_sub(count)) & (Slots::MAX << first)
}

/// Bytes of a shelf with the slots `all`: up to the last one's end. None where they are more than
/// an address space.
fn mapped_bytes(stride: usize, all: Slots) -> Option<usize> {
    stride.checked_mul(Slots::BITS.wrapping_sub(all.leading_zeros()) as usize)
}

/// Memory for a shelf, aligned to `align`.
fn map(bytes: usize, align: usize, between: Between) -> Option<NonNull<u8>> {
    let start = aligned::map_below(&LAST, os::map_unreserved, bytes, align)?;
    // SAFETY: just mapped, and nobody knows of it.
    unsafe {
        advise(start, bytes, huge::of_shelf());
        if between == Between::Guards && os::install_guard(start, bytes).is_err() {
            pending::unmap_or_keep(start, bytes);
            return None;
        }
    }
    Some(start)
}

/// Gives a cleared slot back to its shelf. The shelf goes to the kernel, if it has no block now and
/// there is another one like it.
fn give_slot_back(range: Range) {
    let Some(shelf) = shelf_of(range) else { return };
    let is_crowded = crowd::is_crowded();
    let mut shelves = SHELVES.lock();
    // SAFETY: under the lock; a slot of the shelf was taken, so its record is one.
    let emptied = unsafe { shelves.put_slot(shelf, range.start) };
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
    let bytes = mapped_bytes(stride, all).unwrap_or(0);
    SPARE_BYTES.fetch_sub(bytes, Ordering::Relaxed);
    // SAFETY: no block is on the shelf.
    unsafe {
        match between {
            Between::Pages => pending::unmap_or_keep(start, bytes),
            Between::Guards => {
                if os::unmap(start, bytes).is_err() {
                    pending::keep_noted_or_lose(start, bytes);
                }
            }
        }
    }
    SHELVES.lock().put_record(shelf);
}
