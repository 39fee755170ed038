//! Resizing a large allocation: in place, into the retained range behind it, by moving its pages,
//! or by copying.
//!
//! State: the bytes copied, an atomic word.

use core::ptr::NonNull;

use super::{Contents, REGISTRY, RETAINED, Range, allocate, free, guard, unmap};
use crate::base::address::align_up;
use crate::base::atomic::{AtomicU64, Ordering};
use crate::memory::pending;
use crate::os;
use crate::os::fatal;
use crate::os::watch;
use crate::policy::limit::COMMITTED;
use crate::policy::options;

/// A range that grows by less than one part in so many grows by as much: a block that grows in
/// small steps calls the kernel for few of them. The room is not touched, so it is not resident.
pub(crate) const ROOM: usize = 8;

static COPIED_BYTES: AtomicU64 = AtomicU64::new(0);

/// Bytes that large `realloc`s copied since the start, because the kernel refused to move pages.
pub(crate) fn copied_bytes() -> u64 {
    COPIED_BYTES.load(Ordering::Relaxed)
}

/// Resizes the large allocation at `start` to `size` bytes, keeping `align`. Where that fails the
/// old allocation is untouched.
pub(crate) fn reallocate(start: NonNull<u8>, size: usize, align: usize) -> Option<NonNull<u8>> {
    // A statement of its own: the lock must end before anything else.
    let have = REGISTRY.lock().get(start);
    if have.is_some_and(|have| stays(have, size)) {
        return Some(start);
    }
    let taken = REGISTRY.lock().take(start);
    let Some(mut range) = taken else {
        fatal::caught("realloc of an address that is no allocation", start.addr().get());
        return None;
    };
    // Pages move as a whole, so the block keeps its offset in the first one.
    let offset = start.addr().get().wrapping_sub(range.start.addr().get());
    let bytes = align_up(size.wrapping_add(offset), os::page_bytes());
    if bytes <= range.bytes {
        // Where the kernel does not cut, the allocation stays as long as the registry says.
        // SAFETY: the caller gives up what is beyond `size`.
        let cut = if bytes == range.bytes { None } else { unsafe { range.resize(bytes, align) } };
        return Some(enter_again(cut.unwrap_or(range), offset));
    }
    // SAFETY: the range is out of the registry, and forgotten if it moves.
    if let Some(grown) = unsafe { grow(&mut range, bytes, align) } {
        return Some(enter_again(grown, offset));
    }
    let _ = enter_again(range, offset);
    let have = range.bytes.wrapping_sub(offset);
    let fresh = allocate(size, align, Contents::Any)?;
    COPIED_BYTES.fetch_add(have as u64, Ordering::Relaxed);
    // SAFETY: both blocks are owned, distinct, and at least as long as the old one.
    unsafe { fresh.copy_from_nonoverlapping(start, have) };
    free(start);
    Some(fresh)
}

/// Whether a block that may use `have` bytes stays as it is for `size`: cutting less than an eighth
/// off would save little, and undo the room that growing blocks are given.
fn stays(have: usize, size: usize) -> bool {
    have.checked_sub(size).is_some_and(|spare| spare <= room(have))
}

/// Bytes that a block of `bytes` may have beyond the requested ones: none where a guard is to
/// follow them.
fn room(bytes: usize) -> usize {
    if options::get().guard_pages { 0 } else { bytes / ROOM }
}

/// Grows a range to `bytes` at least, in place or elsewhere. Where that fails it is as it was.
///
/// # Safety
/// As for [`Range::resize`].
unsafe fn grow(range: &mut Range, bytes: usize, align: usize) -> Option<Range> {
    let roomy = bytes.max(align_up(range.bytes.wrapping_add(room(range.bytes)), os::page_bytes()));
    let wishes = if roomy == bytes { [Some(bytes), None] } else { [Some(roomy), Some(bytes)] };
    for bytes in wishes.into_iter().flatten() {
        if let Some(grown) = grow_into_retained(range, bytes) {
            watch::open(grown.start.as_ptr(), bytes);
            return Some(grown);
        }
    }
    // SAFETY: forwarded to the caller.
    wishes.into_iter().flatten().find_map(|bytes| unsafe { range.resize(bytes, align) })
}

/// The range with memory that is retained right behind it, if that is enough for `bytes`.
fn grow_into_retained(range: &mut Range, bytes: usize) -> Option<Range> {
    let mut grown = RETAINED.lock().take_behind(*range, bytes.wrapping_sub(range.bytes))?;
    // SAFETY: the range is out of the registry, and nobody refers to what it has grown by.
    if unsafe { guard::open(&mut grown) } {
        return Some(grown);
    }
    // The kernel would not remove the guards between: the part behind is given back.
    let more = bytes.wrapping_sub(range.bytes);
    match grown.split(range.bytes).1 {
        Some(behind) => {
            COMMITTED.release(more.wrapping_sub(behind.bytes));
            unmap(behind);
        }
        None => {
            COMMITTED.release(more);
            pending::count_lost(more);
        }
    }
    // SAFETY: the page behind the range is its own.
    unsafe { guard::guard_behind(range) };
    None
}

/// Enters a range again for which the registry kept a slot free. Returns its block's address.
fn enter_again(range: Range, offset: usize) -> NonNull<u8> {
    REGISTRY.lock().insert_again(range, offset)
}
