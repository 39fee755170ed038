//! Guard pages before and after a large allocation, where the options ask for them.
//!
//! From Linux 6.13 on they are marks in the page tables of one mapping. Before, each is a mapping of
//! its own, and those are limited: a program must not run out of mappings because of guards.

use core::ptr::NonNull;

use super::STRANDED_BYTES;
use super::range::Range;
use crate::address::align_up;
use crate::stray;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sys;

/// The mapping numbers of ranges that have guards, by how they are made. Such ranges are never
/// neighbours, and are neither resized nor retained.
const MARKED: u64 = u64::MAX;
const SEPARATE: u64 = u64::MAX - 1;

/// Live ranges of the second kind.
static SEPARATELY_GUARDED: AtomicUsize = AtomicUsize::new(0);

/// Whether `range` has guards.
pub(super) const fn is_guarded(range: Range) -> bool {
    matches!(range.mapping, MARKED | SEPARATE)
}

/// Fresh memory with a guard page before and one after it, or none.
pub(super) fn map(bytes: usize, align: usize) -> Option<Range> {
    let page = sys::page_bytes();
    let slack = if align <= page { 0 } else { align };
    let wide = bytes.checked_add(page.wrapping_mul(2))?.checked_add(slack)?;
    let start = sys::map(None, wide).ok()?;
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
    // SAFETY: just mapped, and nobody knows of it. It cannot wait with the strays, which must be writable.
    if unsafe { sys::unmap(first_guard, whole) }.is_err() {
        STRANDED_BYTES.fetch_add(whole as u64, Ordering::Relaxed);
    }
    None
}

/// Makes two pages inaccessible; the answer is the mapping number of what lies between.
///
/// # Safety
/// The pages are of a mapping of the caller's, and nothing refers to them.
unsafe fn install(guards: [NonNull<u8>; 2], page: usize) -> Option<u64> {
    // EINVAL from a kernel that does not know marks, and for locked memory.
    // SAFETY: forwarded to the caller.
    if guards.iter().all(|guard| unsafe { sys::install_guard(*guard, page) }.is_ok()) {
        return Some(MARKED);
    }
    // Two mappings each, and at most a quarter of what the kernel allows.
    let others = SEPARATELY_GUARDED.fetch_add(1, Ordering::Relaxed);
    // SAFETY: forwarded to the caller.
    let forbid = |guard: &NonNull<u8>| unsafe { sys::forbid(*guard, page) }.is_ok();
    if others < sys::most_mappings() / 8 && guards.iter().all(forbid) {
        return Some(SEPARATE);
    }
    SEPARATELY_GUARDED.fetch_sub(1, Ordering::Relaxed);
    None
}

/// All of `range`: with its guards, if it has any.
pub(super) fn with_guards(range: Range) -> (NonNull<u8>, usize) {
    if !is_guarded(range) {
        return (range.start, range.bytes);
    }
    let page = sys::page_bytes();
    // SAFETY: a guarded range has a page before it, and one behind.
    (unsafe { range.start.byte_sub(page) }, range.bytes.wrapping_add(page.wrapping_mul(2)))
}

/// Notes that `range` waits to be unmapped without its guards, which cannot.
pub(super) fn lose(range: Range) {
    if is_guarded(range) {
        let lost = sys::page_bytes().wrapping_mul(2);
        STRANDED_BYTES.fetch_add(lost as u64, Ordering::Relaxed);
    }
}

/// Notes that `range` is unmapped.
pub(super) fn forget(range: Range) {
    if range.mapping == SEPARATE {
        SEPARATELY_GUARDED.fetch_sub(1, Ordering::Relaxed);
    }
}
