//! Zeroes for memory that was used before: written where it is resident, the kernel's where not.
//!
//! A page that is given back and touched again costs a page fault, which is many times the cost of
//! writing it. So giving back pays where few pages were touched, and writing pays everywhere else.
//! mincore(2) says which pages were touched.
//!
//! Pages that were written here are resident whether or not their user touches them. Of each long
//! range a few are therefore given back each time. Whether those are resident the next time tells
//! what its users do.
//!
//! There is no state.

use core::ptr::NonNull;

use crate::base::address::{align_down, align_up};
use crate::os;
use crate::policy::{huge, options};

/// Memory shorter than this is written: that takes less than the two calls to the kernel.
const LEAST_BYTES: usize = 512 << 10;

/// Memory of which less than one page in so many is resident is sparse. The number is the cost of a
/// page given back and touched again, in pages written.
const SPARSE_CACHED: usize = 32;

/// The same of long ranges.
const SPARSE_LONG: usize = 16;

/// Ranges from this length on leave the cache when they are written.
const LONG_BYTES: usize = 16 << 20;

/// Bytes of a segment, which is written as a whole if it is dense, and given back if it is sparse.
const SEGMENT_BYTES: usize = 1 << 20;

/// Most OS pages of a segment: no OS page is shorter than 4 KiB.
const SEGMENT_PAGES: usize = SEGMENT_BYTES / 4096;

/// Samples of a long range: pages that are given back to learn about its users.
const SAMPLES: usize = 4;

/// One page in so many is in a sample, so that a user who touches every page faults in few.
const SAMPLED: usize = 256;

/// Makes a range of whole pages read as zero.
///
/// # Safety
/// The range is private anonymous memory of the caller, to which nothing refers.
pub(super) unsafe fn zero_range(start: NonNull<u8>, bytes: usize) {
    if bytes < LONG_BYTES || !may_give_back(bytes) {
        // SAFETY: forwarded to the caller.
        return unsafe { zero_block(start, bytes) };
    }
    // SAFETY: samples lie in the range.
    let samples = || samples(bytes).map(|(at, length)| (unsafe { start.byte_add(at) }, length));
    let is_used = |(start, bytes)| !is_sparse(start, bytes, SPARSE_LONG);
    // SAFETY: forwarded to the caller.
    unsafe {
        if samples().any(is_used) {
            zero_by_segments(start, bytes, SPARSE_LONG);
            samples().for_each(|(start, bytes)| give_back(start, bytes));
        } else {
            give_back(start, bytes);
        }
    }
}

/// Makes a block read as zero. Without samples: where its pages were all touched once, writing them
/// is quick at its length.
///
/// # Safety
/// The block is the caller's, and nothing refers to it.
pub(crate) unsafe fn zero_block(start: NonNull<u8>, bytes: usize) {
    if !may_give_back(bytes) {
        // SAFETY: forwarded to the caller.
        return unsafe { start.write_bytes(0, bytes) };
    }
    let (address, page) = (start.addr().get(), os::page_bytes());
    let head = align_up(address, page).wrapping_sub(address);
    let end = align_down(address.wrapping_add(bytes), page).wrapping_sub(address);
    // SAFETY: the block has several pages, so head, whole pages and tail lie in it in this order.
    unsafe {
        start.write_bytes(0, head);
        zero_by_segments(start.byte_add(head), end.wrapping_sub(head), SPARSE_CACHED);
        start.byte_add(end).write_bytes(0, bytes.wrapping_sub(end));
    }
}

/// Whether pages of so many bytes may go back: not where they are to stay resident, nor where
/// giving back a part would split a huge page.
fn may_give_back(bytes: usize) -> bool {
    let options = options::get();
    let stays = options.populate || options.lock_in_memory || huge::are_everywhere();
    bytes >= LEAST_BYTES.max(os::page_bytes().wrapping_mul(SPARSE_CACHED)) && !stays
}

/// Where the samples of a range of `bytes` begin, and their length, in whole pages.
fn samples(bytes: usize) -> impl Iterator<Item = (usize, usize)> {
    let page = os::page_bytes();
    let apart = bytes / SAMPLES;
    let length = align_up(apart / SAMPLED, page);
    (0..SAMPLES).map(move |nth| {
        // The middle of each part.
        (align_down(nth.wrapping_mul(apart).wrapping_add(apart / 2), page), length)
    })
}

/// # Safety
/// As for [`zero_range`].
unsafe fn zero_by_segments(start: NonNull<u8>, bytes: usize, sparse: usize) {
    // Sparse segments between `kept` and `at` go back in one call.
    let (mut kept, mut at) = (0_usize, 0_usize);
    while at < bytes {
        let length = SEGMENT_BYTES.min(bytes.wrapping_sub(at));
        // SAFETY: every part of the range from `kept` on is untouched here; the rest is the
        // caller's.
        unsafe {
            let segment = start.byte_add(at);
            if !is_sparse(segment, length, sparse) {
                give_back(start.byte_add(kept), at.wrapping_sub(kept));
                segment.write_bytes(0, length);
                kept = at.wrapping_add(length);
            }
        }
        at = at.wrapping_add(length);
    }
    // SAFETY: as above.
    unsafe { give_back(start.byte_add(kept), bytes.wrapping_sub(kept)) };
}

/// Whether less than one page in `sparse` is resident, so that writing them would cost more than
/// giving them back.
fn is_sparse(start: NonNull<u8>, bytes: usize, sparse: usize) -> bool {
    let pages = bytes.checked_div(os::page_bytes()).unwrap_or(0);
    resident_pages(start, bytes).is_some_and(|resident| resident.wrapping_mul(sparse) < pages.max(1))
}

/// How many pages are resident, at least; None where the kernel does not say.
fn resident_pages(start: NonNull<u8>, bytes: usize) -> Option<usize> {
    let mut count = 0_usize;
    let mut at = 0_usize;
    while at < bytes {
        let length = SEGMENT_BYTES.min(bytes.wrapping_sub(at));
        let mut pages = [0_u8; SEGMENT_PAGES];
        // SAFETY: a segment has at most so many pages, and `at` is inside what was passed.
        unsafe { os::calls::residency(start.byte_add(at), length, pages.as_mut_ptr()) }.ok()?;
        count = count.wrapping_add(pages.iter().filter(|page| **page & 1 != 0).count());
        at = at.wrapping_add(length);
    }
    Some(count)
}

/// Gives whole pages back, so that they read as zero; writes them where the kernel refuses.
///
/// # Safety
/// As for [`zero_range`].
unsafe fn give_back(start: NonNull<u8>, bytes: usize) {
    // SAFETY: forwarded to the caller. Refused, they hold anything.
    unsafe {
        if bytes != 0 && os::discard(start, bytes).is_err() {
            start.write_bytes(0, bytes);
        }
    }
}
