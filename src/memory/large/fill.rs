//! Whether a block is filled, as far as a sample of its pages tells.
//!
//! A huge page does not tell: all of it is resident after one touch. So when a block grows,
//! *windows* of it keep small pages, one for each doubling, whatever the rest is advised to have.
//! Where a small page is there already, the kernel makes no huge one on a fault.
//!
//! There is no state: windows lie at fixed offsets.

use core::ptr::NonNull;

use super::range::Range;
use crate::base::address::{align_down, align_up};
use crate::base::config::{DENSE_EIGHTHS, HUGE_PAGE_BYTES, WINDOW_BYTES, WINDOW_FROM_BYTES};
use crate::os;

/// Pages sampled, evenly spread: a call each, where a huge page saves 511 faults.
const SAMPLES: usize = 16;

/// Whether `range`, which has small pages, is filled to its end.
pub(super) fn is_filled(range: Range) -> bool {
    is_resident(range, 0, range.bytes)
}

/// Whether the last window of `range` is filled. True where it has none.
pub(super) fn is_window_filled(range: Range) -> bool {
    let last = windows().take_while(|window| window.wrapping_add(WINDOW_BYTES) <= range.bytes).last();
    last.is_none_or(|window| is_resident(range, window, WINDOW_BYTES))
}

/// Offsets of the windows: in the middle between a power of two and the next.
fn windows() -> impl Iterator<Item = usize> {
    core::iter::successors(Some(WINDOW_FROM_BYTES), |window| window.checked_mul(2))
}

/// The windows beyond the first `bytes` of `range`.
fn fresh_windows(range: Range, bytes: usize) -> impl Iterator<Item = usize> {
    let fresh = move |window: &usize| window.wrapping_add(WINDOW_BYTES) <= range.bytes;
    windows().take_while(fresh).skip_while(move |window| *window < bytes)
}

/// Whether there are any.
pub(super) fn has_fresh_window(range: Range, bytes: usize) -> bool {
    fresh_windows(range, bytes).next().is_some()
}

/// Makes those windows have small pages. The range has no advice now.
///
/// # Safety
/// The range is the caller's, and nobody has used it beyond the first `bytes`.
pub(super) unsafe fn keep_small(range: Range, bytes: usize) {
    for window in fresh_windows(range, bytes) {
        // A window may lie in two huge pages.
        for offset in [window, window.wrapping_add(WINDOW_BYTES).wrapping_sub(1)] {
            // Only read: the kernel maps its page of zeroes there, which takes no memory.
            // SAFETY: inside the range, and fresh, which reads as zero.
            let _ = unsafe { range.start.byte_add(offset).read_volatile() };
        }
        // Where huge pages are for everyone, that was a huge page of zeroes. A part that is
        // discarded makes the kernel cut it into small ones.
        // SAFETY: inside the range.
        let (start, middle) = unsafe {
            (range.start.byte_add(window), range.start.byte_add(window.wrapping_add(WINDOW_BYTES / 2)))
        };
        if is_page_resident(middle) {
            // SAFETY: inside the range, and fresh. Refused, the window tells nothing.
            let _ = unsafe { os::discard(start, WINDOW_BYTES) };
        }
    }
}

/// Offset of the first whole huge page beyond the first `bytes` of `range` that no window lies in:
/// a first touch faults it in as a whole.
pub(super) fn fresh_huge_page(range: Range, bytes: usize) -> Option<usize> {
    let start = range.start.addr().get();
    let first = align_up(start.wrapping_add(bytes), HUGE_PAGE_BYTES).wrapping_sub(start);
    let has_window = |page: usize| {
        let lies_in = |window: usize| {
            window < page.wrapping_add(HUGE_PAGE_BYTES) && page < window.wrapping_add(WINDOW_BYTES)
        };
        fresh_windows(range, bytes).any(lies_in)
    };
    (first..range.bytes)
        .step_by(HUGE_PAGE_BYTES)
        .take_while(|page| page.wrapping_add(HUGE_PAGE_BYTES) <= range.bytes)
        .find(|page| !has_window(*page))
}

/// Whether nearly all pages are resident, of a sample of `bytes` of `range` from `offset` on. The
/// sample is the last page of each of [`SAMPLES`] equal parts, so the first page is not in it.
fn is_resident(range: Range, offset: usize, bytes: usize) -> bool {
    let page = os::page_bytes();
    let step = bytes / SAMPLES;
    let sample = |number: usize| {
        let within = align_down(number.wrapping_mul(step).wrapping_sub(1), page);
        offset.wrapping_add(within)
    };
    // SAFETY: all of them lie inside the range.
    let is_there = |number: &usize| is_page_resident(unsafe { range.start.byte_add(sample(*number)) });
    let found = (1..=SAMPLES).filter(is_there).count();
    found.wrapping_mul(8) >= SAMPLES.wrapping_mul(DENSE_EIGHTHS)
}

fn is_page_resident(page: NonNull<u8>) -> bool {
    let mut answer = 0_u8;
    // SAFETY: a byte for the one page.
    unsafe { os::calls::residency(page, os::page_bytes(), &raw mut answer) }.is_ok() && answer & 1 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    /// Writes the first byte of every page of what `range` has from `from` on, one in so many of
    /// them.
    fn write(range: Range, from: usize, one_in: usize) {
        let page = os::page_bytes();
        for at in (from..range.bytes).step_by(page * one_in) {
            // SAFETY: inside the range, which is the test's own.
            unsafe { range.start.byte_add(at).write(1) };
        }
    }

    #[test]
    fn a_filled_block_is_told_from_one_that_is_not() {
        let range = Range::map(16 * MIB, 1).expect("memory");
        // SAFETY: the range is the test's own. Refused, no page is huge.
        let _ = unsafe { os::advise_not_huge(range.start, range.bytes) };
        assert!(!is_filled(range));
        write(range, 0, 256);
        assert!(!is_filled(range));
        write(Range { bytes: 8 * MIB, ..range }, 0, 1);
        assert!(!is_filled(range), "the first half");
        write(range, 0, 1);
        assert!(is_filled(range));
        // SAFETY: the range is the test's own.
        assert!(unsafe { range.unmap() });
    }

    #[test]
    fn the_huge_page_that_is_timed_has_no_window() {
        let range = Range::map(64 * MIB, 1).expect("memory");
        for bytes in (4 * MIB..32 * MIB).step_by(MIB / 2) {
            let page = fresh_huge_page(range, bytes).expect("there are many");
            assert!(page >= bytes && (range.start.addr().get() + page).is_multiple_of(HUGE_PAGE_BYTES));
            for window in fresh_windows(range, bytes) {
                assert!(window + WINDOW_BYTES <= page || page + HUGE_PAGE_BYTES <= window, "{page} {window}");
            }
        }
        assert_eq!(fresh_huge_page(range, 63 * MIB), None);
        // SAFETY: the range is the test's own.
        assert!(unsafe { range.unmap() });
    }

    /// As when it grows from 4 MiB, after what `advise` does.
    fn windows_tell(advise: impl Fn(Range)) {
        let range = Range::map(64 * MIB, 1).expect("memory");
        advise(range);
        // SAFETY: the range is the test's own, and fresh.
        unsafe { keep_small(range, 4 * MIB) };
        // SAFETY: as above. A kernel without huge pages refuses, and the pages are small anyway.
        let _ = unsafe { os::advise_huge(range.start, range.bytes) };
        assert!(!is_window_filled(range), "fresh");
        write(range, 0, 256);
        assert!(!is_window_filled(range));
        write(range, 0, 1);
        assert!(is_window_filled(range));
        // SAFETY: the range is the test's own.
        assert!(unsafe { range.unmap() });
    }

    #[test]
    fn windows_lie_between_powers_of_two() {
        let range = Range::map(64 * MIB, 1).expect("memory");
        assert_eq!(fresh_windows(range, 4 * MIB).collect::<Vec<_>>(), [6, 12, 24, 48].map(|at| at * MIB));
        assert_eq!(fresh_windows(range, 32 * MIB).collect::<Vec<_>>(), [48 * MIB]);
        assert!(!has_fresh_window(range, 49 * MIB));
        // SAFETY: the range is the test's own.
        assert!(unsafe { range.unmap() });
    }

    #[test]
    fn a_window_tells_although_the_rest_is_advised_to_be_huge() {
        windows_tell(|_| ());
    }

    /// As everywhere under a kernel whose huge pages are `always`.
    #[test]
    fn a_window_tells_although_it_may_have_been_huge_itself() {
        windows_tell(|range| {
            // SAFETY: the range is the test's own. Refused, the pages are small anyway.
            let _ = unsafe { os::advise_huge(range.start, range.bytes) };
        });
    }
}
