//! Guard pages before and after a large allocation, where the options ask for them.
//!
//! From Linux 6.13 on they are marks in the page tables of one mapping, which moves and is cut with them.
//! Before, each is a mapping of its own, and those are limited: a program must not run out of mappings
//! because of guards. Each range has a page before it and one behind for its own, so that it can be
//! unmapped whoever its neighbours are.

use core::ptr::NonNull;

use super::crowd;
use super::range::Range;
use crate::base::address::align_up;
use crate::base::atomic::{AtomicUsize, Ordering};
use crate::memory::stray;
use crate::os;

/// A bit of a range's mapping number: its guards are marks.
const MARKED: u64 = 1 << 63;
/// Another: it was cut or joined since they were made, so that there may be some inside, and none at its ends.
const CHANGED: u64 = 1 << 62;
/// Another: its guards are mappings, so that it is neither resized nor retained.
const SEPARATE: u64 = 1 << 61;

/// Live ranges whose guards are mappings.
static SEPARATELY_GUARDED: AtomicUsize = AtomicUsize::new(0);

/// See [`SEPARATELY_GUARDED`].
pub(super) fn separately_guarded() -> usize {
    SEPARATELY_GUARDED.load(Ordering::Relaxed)
}

/// Whether `range` has guards.
const fn is_guarded(range: Range) -> bool {
    range.mapping & (MARKED | SEPARATE) != 0
}

/// Whether they are marks.
pub(super) const fn is_marked(range: Range) -> bool {
    range.mapping & MARKED != 0
}

/// Whether they are mappings.
pub(super) const fn is_separate(range: Range) -> bool {
    range.mapping & SEPARATE != 0
}

/// Which mapping a range is of, whatever was done to it.
pub(super) const fn mapping_of(range: Range) -> u64 {
    range.mapping & !CHANGED
}

/// The number of a new mapping, whose guards are as those of `range`.
pub(super) fn next_mapping_like(range: Range) -> u64 {
    super::range::next_mapping() | (range.mapping & (MARKED | CHANGED | SEPARATE))
}

/// Bytes between a range and its neighbour in the same mapping: the guards of both.
pub(super) fn gap(range: Range) -> usize {
    if is_marked(range) { os::page_bytes().wrapping_mul(2) } else { 0 }
}

/// Notes that `range` was cut off another, or joined of two.
pub(super) const fn note_change(range: Range) -> Range {
    if is_marked(range) { Range { mapping: range.mapping | CHANGED, ..range } } else { range }
}

/// Prepares a range that was freed to wait for reuse: where it has guards, nothing of it can be touched
/// meanwhile. False where it must not wait.
///
/// # Safety
/// The range belongs to the caller, and nothing refers to it.
#[must_use]
pub(super) unsafe fn shut(range: Range) -> bool {
    if !is_marked(range) {
        return !is_separate(range);
    }
    let (start, bytes) = with_guards(range);
    // SAFETY: forwarded to the caller.
    unsafe { os::forbid(start, bytes) }.is_ok()
}

/// Undoes [`shut`], without a thought of guards. False where the kernel refuses.
///
/// # Safety
/// As for [`shut`].
#[must_use]
unsafe fn permit(range: Range) -> bool {
    if !is_marked(range) {
        return true;
    }
    // With the guards, so that the kernel makes one mapping of it again.
    let (start, bytes) = with_guards(range);
    // SAFETY: forwarded to the caller.
    unsafe { os::permit(start, bytes) }.is_ok()
}

/// Undoes [`shut`], and makes what lacks of the guards. False where the kernel refuses.
///
/// # Safety
/// As for [`shut`].
#[must_use]
pub(super) unsafe fn open(range: &mut Range) -> bool {
    // SAFETY: forwarded to the caller.
    if !unsafe { permit(*range) } {
        return false;
    }
    if range.mapping & CHANGED == 0 {
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
        range.mapping = mapping_of(*range);
    }
    done
}

/// Resizes a range whose guards are marks. They move with it; only the one behind is made anew. Where
/// that fails, `range` says what has become of its guards.
///
/// # Safety
/// As for [`Range::resize`].
pub(super) unsafe fn resize(range: &mut Range, bytes: usize) -> Option<Range> {
    let page = os::page_bytes();
    // SAFETY: inside the range, or the guard behind it.
    let guard_at = |range: Range, bytes| unsafe { range.start.byte_add(bytes) };
    if bytes < range.bytes {
        let rest = bytes.wrapping_add(page);
        // A guard of its own needs a page, and what is cut off another one.
        // SAFETY: the caller gives up what is cut off.
        if rest >= range.bytes || unsafe { os::install_guard(guard_at(*range, bytes), page) }.is_err() {
            return None;
        }
        // SAFETY: as above, and the guard that was behind goes with it.
        unsafe { stray::give_back(guard_at(*range, rest), range.bytes.wrapping_sub(bytes)) };
        return Some(Range { bytes, ..*range });
    }
    // SAFETY: the guard behind the range is its own.
    unsafe { os::remove_guard(guard_at(*range, range.bytes), page) }.ok()?;
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
    let mut resized = Range { start, bytes, mapping: next_mapping_like(*range) };
    // SAFETY: as above.
    unsafe { guard_behind(&mut resized) };
    Some(resized)
}

/// Guards the page behind `range` again. Refused, it is an ordinary one, which nobody uses, until the range
/// is used again.
///
/// # Safety
/// The page is the range's own.
pub(super) unsafe fn guard_behind(range: &mut Range) {
    let page = os::page_bytes();
    // SAFETY: forwarded to the caller.
    if unsafe { os::install_guard(range.start.byte_add(range.bytes), page) }.is_err() {
        *range = note_change(*range);
    }
}

/// Fresh memory with a guard page before and one after it, or none.
pub(super) fn map(bytes: usize, align: usize) -> Option<Range> {
    let page = os::page_bytes();
    let slack = if align <= page { 0 } else { align };
    let wide = bytes.checked_add(page.wrapping_mul(2))?.checked_add(slack)?;
    let start = os::map(None, wide).ok()?;
    let address = start.addr().get();
    let lead = align_up(address.wrapping_add(page), align.max(page)).wrapping_sub(address);
    let end = lead.wrapping_add(bytes).wrapping_add(page);
    // SAFETY: the lead is at least a page and inside the mapping.
    let (inner, first_guard) = unsafe { (start.byte_add(lead), start.byte_add(lead.wrapping_sub(page))) };
    // SAFETY: the second guard lies inside the mapping, behind the inner part.
    let second_guard = unsafe { inner.byte_add(bytes) };
    // What lies beyond the guards is given back.
    if lead > page {
        // SAFETY: just mapped, and not part of what is kept.
        unsafe { stray::give_back(start, lead.wrapping_sub(page)) };
    }
    if wide > end {
        // SAFETY: as above.
        unsafe { stray::give_back(start.byte_add(end), wide.wrapping_sub(end)) };
    }
    // SAFETY: both pages are of this fresh mapping.
    if let Some(mapping) = unsafe { install([first_guard, second_guard], page) } {
        return Some(Range { start: inner, bytes, mapping });
    }
    let whole = bytes.wrapping_add(page.wrapping_mul(2));
    // SAFETY: just mapped, and nobody knows of it. What is between the guards can be written to.
    unsafe {
        if os::unmap(first_guard, whole).is_err() {
            stray::keep(first_guard, whole, inner);
        }
    }
    None
}

/// Makes two pages inaccessible; the answer is the mapping number of what lies between.
///
/// # Safety
/// The pages are of a mapping of the caller's, and nothing refers to them.
unsafe fn install(guards: [NonNull<u8>; 2], page: usize) -> Option<u64> {
    let [first, second] = guards;
    // EINVAL from a kernel that does not know marks, and for locked memory.
    // SAFETY: forwarded to the caller.
    if unsafe { os::install_guard(first, page) }.is_ok() {
        // SAFETY: as above.
        if unsafe { os::install_guard(second, page) }.is_ok() {
            return Some(super::range::next_mapping() | MARKED);
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
        return Some(super::range::next_mapping() | SEPARATE);
    }
    SEPARATELY_GUARDED.fetch_sub(1, Ordering::Relaxed);
    None
}

/// All of `range`: with its guards, if it has any.
pub(super) fn with_guards(range: Range) -> (NonNull<u8>, usize) {
    if !is_guarded(range) {
        return (range.start, range.bytes);
    }
    let page = os::page_bytes();
    // SAFETY: a guarded range has a page before it, and one behind.
    (unsafe { range.start.byte_sub(page) }, range.bytes.wrapping_add(page.wrapping_mul(2)))
}

/// Notes that `range` is unmapped.
pub(super) fn forget(range: Range) {
    if is_separate(range) {
        SEPARATELY_GUARDED.fetch_sub(1, Ordering::Relaxed);
    }
}
