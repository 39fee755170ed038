//! Guard pages before and after a large allocation, where the options ask for them.
//!
//! From Linux 6.13 on they are marks in the page tables of one mapping (madvise(2),
//! `MADV_GUARD_INSTALL`), which move and are cut with it. Before, each is a mapping of its own. The
//! kernel limits the number of those, and a program must not run out of mappings because of guards.
//! Each range has a page before it and one behind for its own, so that it can be unmapped whatever
//! its neighbours are.
//!
//! State: the number of ranges whose guards are mappings, an atomic word.

use core::ptr::NonNull;

use super::crowd;
use super::mapping_id::{Kind, MappingId};
use super::range::Range;
use crate::base::atomic::{AtomicUsize, Ordering};
use crate::memory::{aligned, pending};
use crate::os;

/// Ranges whose guards are mappings.
static SEPARATELY_GUARDED: AtomicUsize = AtomicUsize::new(0);

/// Ranges whose guards are mappings.
pub(super) fn separately_guarded() -> usize {
    SEPARATELY_GUARDED.load(Ordering::Relaxed)
}

/// Bytes between a range and its neighbour in the same mapping: the guards of both.
pub(super) fn gap(range: Range) -> usize {
    if range.mapping.is_marked() { os::page_bytes().wrapping_mul(2) } else { 0 }
}

/// The range with its guards, if it has any.
pub(super) fn with_guards(range: Range) -> (NonNull<u8>, usize) {
    if !range.mapping.is_guarded() {
        return (range.start, range.bytes);
    }
    let page = os::page_bytes();
    // SAFETY: a guarded range has a page before it, and one behind.
    (unsafe { range.start.byte_sub(page) }, range.bytes.wrapping_add(page.wrapping_mul(2)))
}

/// Fresh memory with a guard page before and one after it, or none.
pub(super) fn map(bytes: usize, align: usize) -> Option<Range> {
    let page = os::page_bytes();
    let whole = bytes.checked_add(page.wrapping_mul(2))?;
    let first_guard = aligned::map(os::map, whole, align, page)?;
    // SAFETY: the mapping begins and ends with a page for a guard.
    let (inner, second_guard) =
        unsafe { (first_guard.byte_add(page), first_guard.byte_add(page).byte_add(bytes)) };
    // SAFETY: both pages are of this fresh mapping.
    if let Some(mapping) = unsafe { install([first_guard, second_guard], page) } {
        return Some(Range { start: inner, bytes, mapping });
    }
    // SAFETY: just mapped, and nobody knows of it. What is between the guards can be written to.
    unsafe {
        if os::unmap(first_guard, whole).is_err() {
            pending::keep_linked(first_guard, whole, inner);
        }
    }
    None
}

/// Makes two pages inaccessible. Returns the id of what lies between.
///
/// # Safety
/// The pages are of a mapping of the caller's, and nothing refers to them.
unsafe fn install(guards: [NonNull<u8>; 2], page: usize) -> Option<MappingId> {
    let [first, second] = guards;
    // EINVAL from a kernel that does not know marks, and for locked memory.
    // SAFETY: forwarded to the caller.
    if unsafe { os::install_guard(first, page) }.is_ok() {
        // SAFETY: as above.
        if unsafe { os::install_guard(second, page) }.is_ok() {
            return Some(MappingId::fresh(Kind::Marked));
        }
        // A page is not to be guarded both ways.
        // SAFETY: as above.
        unsafe { os::remove_guard(first, page) }.ok()?;
    }
    // Two mappings each, as long as there are not too many.
    SEPARATELY_GUARDED.fetch_add(1, Ordering::Relaxed);
    // SAFETY: forwarded to the caller.
    let forbid = |guard: &NonNull<u8>| unsafe { os::forbid(*guard, page) }.is_ok();
    if !crowd::is_crowded() && guards.iter().all(forbid) {
        return Some(MappingId::fresh(Kind::Separate));
    }
    SEPARATELY_GUARDED.fetch_sub(1, Ordering::Relaxed);
    None
}

/// Prepares a freed range to be retained: where it has guards, nothing of it can be touched
/// meanwhile. False where it must not be retained.
///
/// # Safety
/// The range belongs to the caller, and nothing refers to it.
#[must_use]
pub(super) unsafe fn shut(range: Range) -> bool {
    if !range.mapping.is_marked() {
        return !range.mapping.is_separate();
    }
    let (start, bytes) = with_guards(range);
    // SAFETY: forwarded to the caller.
    unsafe { os::forbid(start, bytes) }.is_ok()
}

/// Undoes [`shut`], and installs the guards that are missing. False where the kernel refuses.
///
/// # Safety
/// As for [`shut`].
#[must_use]
pub(super) unsafe fn open(range: &mut Range) -> bool {
    // SAFETY: forwarded to the caller.
    if !unsafe { permit(*range) } {
        return false;
    }
    if !range.mapping.is_changed() {
        return true;
    }
    let (first, _) = with_guards(*range);
    let page = os::page_bytes();
    // SAFETY: forwarded to the caller; a page before the range and one behind it are its own.
    let done = unsafe {
        os::remove_guard(range.start, range.bytes).is_ok()
            && os::install_guard(first, page).is_ok()
            && os::install_guard(range.start.byte_add(range.bytes), page).is_ok()
    };
    if done {
        range.mapping = range.mapping.unchanged();
    }
    done
}

/// Undoes [`shut`], and leaves the guards as they are. False where the kernel refuses.
///
/// # Safety
/// As for [`shut`].
#[must_use]
unsafe fn permit(range: Range) -> bool {
    if !range.mapping.is_marked() {
        return true;
    }
    // With the guards, so that the kernel makes one mapping of it again.
    let (start, bytes) = with_guards(range);
    // SAFETY: forwarded to the caller.
    unsafe { os::permit(start, bytes) }.is_ok()
}

/// Resizes a range whose guards are marks. They move with it; only the one behind is made anew.
/// Where that fails, `range` says what has become of its guards.
///
/// # Safety
/// As for [`Range::resize_plain`].
pub(super) unsafe fn resize(range: &mut Range, bytes: usize) -> Option<Range> {
    if bytes < range.bytes {
        // SAFETY: forwarded to the caller.
        return unsafe { shrink(*range, bytes) };
    }
    let page = os::page_bytes();
    // SAFETY: the guard behind the range is its own.
    unsafe { os::remove_guard(range.start.byte_add(range.bytes), page) }.ok()?;
    let (first, whole) = with_guards(*range);
    // SAFETY: forwarded to the caller; the guards are the range's.
    let moved = unsafe { os::remap(first, whole, bytes.wrapping_add(page.wrapping_mul(2))) };
    let Ok(first) = moved else {
        // SAFETY: as above.
        unsafe { guard_behind(range) };
        return None;
    };
    // SAFETY: the guard before the range is a page of the mapping.
    let start = unsafe { first.byte_add(page) };
    let mut resized = Range { start, bytes, mapping: range.mapping.fresh_like() };
    // SAFETY: as above.
    unsafe { guard_behind(&mut resized) };
    Some(resized)
}

/// Cuts a range down to `bytes`. None where there is no room for a guard behind both parts, or the
/// kernel refuses one.
///
/// # Safety
/// The caller gives up what is cut off.
unsafe fn shrink(range: Range, bytes: usize) -> Option<Range> {
    let page = os::page_bytes();
    if bytes.wrapping_add(page) >= range.bytes {
        return None;
    }
    // SAFETY: the guard and the rest lie in what the caller gives up; the guard that was behind the
    // range is a page that goes with the rest.
    unsafe {
        let guard = range.start.byte_add(bytes);
        os::install_guard(guard, page).ok()?;
        pending::unmap_or_keep(guard.byte_add(page), range.bytes.wrapping_sub(bytes));
    }
    Some(Range { bytes, ..range })
}

/// Guards the page behind `range` again. Refused, it is an ordinary page, which nobody uses, until
/// the range is [opened](open) again.
///
/// # Safety
/// The page is the range's own.
pub(super) unsafe fn guard_behind(range: &mut Range) {
    // SAFETY: forwarded to the caller.
    if unsafe { os::install_guard(range.start.byte_add(range.bytes), os::page_bytes()) }.is_err() {
        *range = range.changed();
    }
}

/// Notes that `range` is unmapped, or pending.
pub(super) fn forget(range: Range) {
    if range.mapping.is_separate() {
        SEPARATELY_GUARDED.fetch_sub(1, Ordering::Relaxed);
    }
}
