//! `Freestone` as the allocator of single collections: contents survive growing and shrinking,
//! blocks without bytes are no blocks, alignments may change, and what is grown with zeros is zero.

use std::alloc::Layout;
use std::ptr::NonNull;

use allocator_api2::alloc::Allocator;
use allocator_api2::boxed::Box;
use allocator_api2::vec::Vec;
use freestone::Freestone;
use freestone::inspect::{What, describe};

const ALLOC: Freestone = Freestone::new();

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("a valid layout")
}

fn is_ours(start: *const u8) -> bool {
    matches!(describe(start).what, What::Block { .. } | What::Large { .. })
}

#[test]
fn a_vector_and_a_map() {
    let mut numbers = Vec::new_in(ALLOC);
    numbers.extend(0..100_000_u64);
    assert!(is_ours(numbers.as_ptr().cast()));
    numbers.truncate(10);
    numbers.shrink_to_fit();
    assert!(numbers.iter().copied().eq(0..10) && is_ours(numbers.as_ptr().cast()));
    let boxed = Box::new_in([7_u8; 300], ALLOC);
    assert!(is_ours(boxed.as_ptr()));
    let mut map = hashbrown::HashMap::with_hasher_in(std::hash::RandomState::new(), ALLOC);
    map.extend((0..1_000).map(|key| (key, key * 2)));
    assert!((0..1_000).all(|key| map[&key] == key * 2));
}

#[test]
fn without_bytes_there_is_an_aligned_address_and_no_block() {
    for align in [1, 16, 4096] {
        let none = layout(0, align);
        for start in [ALLOC.allocate(none), ALLOC.allocate_zeroed(none)] {
            let start = start.expect("no memory is needed");
            assert_eq!((start.len(), start.addr().get() % align), (0, 0));
            assert_eq!(describe(start.cast::<u8>().as_ptr()).what, What::Foreign);
            // SAFETY: it is of that layout.
            unsafe { ALLOC.deallocate(start.cast(), none) }
        }
    }
}

/// Writes, resizes, and looks: from each size and alignment to each other.
#[test]
fn contents_survive_whatever_size_and_alignment_change() {
    let sizes = [0, 1, 24, 1_000, 40_000, 3 << 20];
    let aligns = [1, 8, 64, 4096];
    let layouts = || sizes.iter().flat_map(|size| aligns.iter().map(|align| layout(*size, *align)));
    for (old, new) in layouts().flat_map(|old| layouts().map(move |new| (old, new))) {
        let start = ALLOC.allocate(old).expect("memory").cast::<u8>();
        let kept = old.size().min(new.size());
        // SAFETY: the block is of `old`, then of `new`, and has so many bytes; `grow` and `shrink`
        // are told true.
        unsafe {
            start.write_bytes(0xa5, old.size());
            let resized = if new.size() < old.size() {
                ALLOC.shrink(start, old, new)
            } else {
                ALLOC.grow_zeroed(start, old, new)
            };
            let resized = resized.expect("memory");
            assert_eq!((resized.len(), resized.addr().get() % new.align()), (new.size(), 0));
            let bytes = resized.as_ref();
            assert!(bytes[..kept].iter().all(|byte| *byte == 0xa5), "{old:?} {new:?}");
            assert!(bytes[kept..].iter().all(|byte| *byte == 0), "{old:?} {new:?}");
            ALLOC.deallocate(resized.cast(), new);
        }
    }
}

#[test]
fn too_much_is_an_error_and_the_block_stays() {
    let (old, endless) = (layout(100, 8), layout(isize::MAX as usize - 7, 8));
    assert!(ALLOC.allocate(endless).is_err() && ALLOC.allocate_zeroed(endless).is_err());
    let start: NonNull<u8> = ALLOC.allocate(old).expect("memory").cast();
    // SAFETY: the block is of `old` all along.
    unsafe {
        start.write_bytes(3, 100);
        assert!(ALLOC.grow(start, old, endless).is_err());
        assert!(NonNull::slice_from_raw_parts(start, 100).as_ref().iter().all(|byte| *byte == 3));
        ALLOC.deallocate(start, old);
    }
}
