//! Aligned mappings: more than is needed is mapped, and what lies around the aligned part goes
//! back.

use core::num::NonZeroUsize;
use core::ptr::NonNull;

use crate::base::address::{align_down, align_up};
use crate::base::atomic::{AtomicUsize, Ordering};
use crate::memory::pending;
use crate::os;

/// A function that maps so many bytes, if it can at the hint. A type of its own for each, so that
/// the compiler knows that none unwinds.
pub(crate) trait Mapper: Copy + Fn(Option<NonZeroUsize>, usize) -> os::Result<NonNull<u8>> {}

impl<F: Copy + Fn(Option<NonZeroUsize>, usize) -> os::Result<NonNull<u8>>> Mapper for F {}

/// Maps `bytes`, whole OS pages, of which the byte at `offset` is aligned to `align`.
pub(crate) fn map(mapper: impl Mapper, bytes: usize, align: usize, offset: usize) -> Option<NonNull<u8>> {
    let slack = if align <= os::page_bytes() { 0 } else { align };
    let start = mapper(None, bytes.checked_add(slack)?).ok()?;
    let aligned_at = start.addr().get().wrapping_add(offset);
    let head = align_up(aligned_at, align).wrapping_sub(aligned_at);
    let tail = slack.wrapping_sub(head);
    // SAFETY: the head is less than the slack or both are zero, so `kept` lies in the mapping,
    // which nobody else knows of; head and tail lie outside of what is kept.
    unsafe {
        let kept = start.byte_add(head);
        if head != 0 {
            pending::unmap_or_keep(start, head);
        }
        if tail != 0 {
            pending::unmap_or_keep(kept.byte_add(bytes), tail);
        }
        Some(kept)
    }
}

/// As [`map`] with the first byte aligned, below the mapping that `last` holds the address of, if
/// that is free. Neighbours that are alike are one mapping to the kernel, and need no slack.
pub(crate) fn map_below(
    last: &AtomicUsize,
    mapper: impl Mapper,
    bytes: usize,
    align: usize,
) -> Option<NonNull<u8>> {
    let start = try_below(last, mapper, bytes, align)?.or_else(|| map(mapper, bytes, align, 0))?;
    last.store(start.as_ptr().expose_provenance(), Ordering::Relaxed);
    Some(start)
}

/// None where the kernel has no memory; none inside where the memory below is in use, or there is
/// no last mapping yet.
fn try_below(
    last: &AtomicUsize,
    mapper: impl Mapper,
    bytes: usize,
    align: usize,
) -> Option<Option<NonNull<u8>>> {
    let below = align_down(last.load(Ordering::Relaxed).saturating_sub(bytes), align);
    let Some(below) = NonZeroUsize::new(below) else { return Some(None) };
    let start = mapper(Some(below), bytes).ok()?;
    if start.addr().get().is_multiple_of(align) {
        return Some(Some(start));
    }
    // SAFETY: just mapped, and nobody knows of it.
    unsafe { pending::unmap_or_keep(start, bytes) };
    Some(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_byte_at_the_offset_is_aligned() {
        let page = os::page_bytes();
        for align in [1, page, 4 * page, 1 << 20] {
            for offset in [0, page] {
                let start = map(os::map, 2 * page, align, offset).expect("memory");
                assert!((start.addr().get() + offset).is_multiple_of(align), "{align} {offset}");
                // SAFETY: just mapped.
                unsafe {
                    start.write_bytes(1, 2 * page);
                    assert!(os::unmap(start, 2 * page).is_ok());
                }
            }
        }
    }

    #[test]
    fn the_next_mapping_lies_below_the_last() {
        let last = AtomicUsize::new(0);
        let first = map_below(&last, os::map, 1 << 20, 1 << 20).expect("memory");
        assert_eq!(last.load(Ordering::Relaxed), first.addr().get());
        let second = map_below(&last, os::map, 1 << 20, 1 << 20).expect("memory");
        assert!(second.addr().get().is_multiple_of(1 << 20) && second != first);
        for start in [first, second] {
            // SAFETY: just mapped.
            assert!(unsafe { os::unmap(start, 1 << 20) }.is_ok());
        }
    }
}
