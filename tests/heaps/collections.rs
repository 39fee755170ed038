//! Collections live in heaps of every kind.

use std::alloc::Layout;
use std::collections::BTreeMap;

use allocator_api2::alloc::Allocator;
use allocator_api2::boxed::Box;
use allocator_api2::vec::Vec;
use freestone::heaps::{Handle, Heap, Kind, Options};
use hashbrown::{DefaultHashBuilder, HashMap};

use crate::common::MIB;

type Words<'h, K> = HashMap<u64, Box<[u8], &'h Heap<K>>, DefaultHashBuilder, &'h Heap<K>>;

fn fills_and_empties<K: Kind>(heap: &Heap<K>) {
    let mut words: Words<'_, K> = HashMap::with_hasher_in(DefaultHashBuilder::default(), heap);
    let mut expected = BTreeMap::new();
    for n in 0_u64..20_000 {
        let length = (n % 300) as usize;
        let mut bytes = Vec::with_capacity_in(length, heap);
        bytes.resize(length, n as u8);
        words.insert(n, bytes.into_boxed_slice());
        expected.insert(n, length);
        if n % 3 == 0 {
            words.remove(&(n / 2));
            expected.remove(&(n / 2));
        }
    }
    assert_eq!(words.len(), expected.len());
    for (n, length) in &expected {
        let bytes = words.get(n).expect("a word that was put in");
        assert!(bytes.len() == *length && bytes.iter().all(|byte| *byte == *n as u8), "{n}");
        assert!(*length == 0 || heap.contains(bytes.as_ptr().addr()));
    }
    assert!(
        heap.stats().expect("the lock").live_blocks
            >= expected.values().filter(|length| **length > 0).count()
    );
    drop(words);
    assert_eq!(heap.stats().expect("the lock").live_blocks, 0);
}

#[test]
fn maps_and_boxes_in_a_private_heap() {
    fills_and_empties(&Heap::private().expect("a heap"));
}

#[test]
fn maps_and_boxes_in_a_shared_heap() {
    fills_and_empties(&Heap::shared().expect("a heap"));
}

#[test]
fn maps_and_boxes_in_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    fills_and_empties(&Heap::file(folder.path().join("heap")).expect("a heap"));
}

#[test]
fn a_vector_owns_its_heap_or_a_handle_of_it() {
    let mut own = Vec::new_in(Heap::private().expect("a heap"));
    own.extend(0..100_000_u64);
    assert_eq!(own.iter().copied().sum::<u64>(), 4_999_950_000);

    let handle = Handle::from(Heap::shared().expect("a heap"));
    let mut vectors: Vec<Vec<u8, _>, _> = Vec::new_in(handle.clone());
    for n in 0..100 {
        let mut vector = Vec::new_in(handle.clone());
        vector.resize(n * 100, n as u8);
        vectors.push(vector);
    }
    drop(handle);
    let vectors = std::thread::spawn(move || {
        assert!(vectors.iter().enumerate().all(|(n, vector)| vector.iter().all(|byte| *byte == n as u8)));
        vectors
    });
    drop(vectors.join().expect("the thread ends"));
}

#[test]
fn a_full_heap_is_an_error_and_not_an_abort() {
    let heap = Options::new().limit(2 * MIB).private().expect("a heap");
    let mut vector: Vec<u8, _> = Vec::new_in(&heap);
    assert!(vector.try_reserve(3 * MIB).is_err());
    assert!(vector.try_reserve(MIB).is_ok());
}

/// Every method of the trait: contents stay, what is new reads as zero where that was asked for.
fn keeps_the_allocators_contract(heap: &impl Allocator) {
    let layout = |size| Layout::from_size_align(size, 8).expect("a valid layout");
    let sizes = [0, 1, 24, 200, 5_000, 300_000, 3 * MIB, 40_000, 100, 0, 60];
    let mut block = heap.allocate_zeroed(layout(sizes[0])).expect("room").cast::<u8>();
    for pair in sizes.windows(2) {
        let (old, new) = (layout(pair[0]), layout(pair[1]));
        // SAFETY: the block is live with the old layout, and the new one is longer or shorter as
        // the method needs.
        let fresh = unsafe {
            if pair[1] > pair[0] { heap.grow_zeroed(block, old, new) } else { heap.shrink(block, old, new) }
        };
        let fresh = fresh.expect("room");
        assert!(fresh.len() >= pair[1]);
        block = fresh.cast();
        // SAFETY: that many bytes are the block's, and all were written or zeroed.
        let bytes = unsafe { std::slice::from_raw_parts_mut(block.as_ptr(), pair[1]) };
        let kept = pair[0].min(pair[1]);
        assert!(bytes[..kept].iter().all(|byte| *byte == 7) && bytes[kept..].iter().all(|byte| *byte == 0));
        bytes.fill(7);
    }
    let (old, new) = (layout(60), layout(70));
    // SAFETY: as above.
    let grown = unsafe { heap.grow(block, old, new) }.expect("room").cast::<u8>();
    // SAFETY: the first 60 bytes were written; the block is live with the new layout.
    unsafe {
        assert!(std::slice::from_raw_parts(grown.as_ptr(), 60).iter().all(|byte| *byte == 7));
        heap.deallocate(grown, new);
    }
}

#[test]
fn the_trait_itself() {
    let heap = Heap::private().expect("a heap");
    keeps_the_allocators_contract(&&heap);
    keeps_the_allocators_contract(&heap);
    assert_eq!(heap.stats().expect("the lock").live_blocks, 0);
    let handle = Handle::from(Heap::shared().expect("a heap"));
    keeps_the_allocators_contract(&handle);
    assert_eq!(handle.stats().expect("the lock").live_blocks, 0);
}

#[test]
fn nothing_takes_nothing() {
    let heap = Heap::private().expect("a heap");
    let boxed = Box::new_in((), &heap);
    let mut empty: Vec<u64, _> = Vec::new_in(&heap);
    empty.shrink_to_fit();
    assert_eq!(heap.stats().expect("the lock").live_blocks, 0);
    empty.push(1);
    empty.pop();
    empty.shrink_to_fit();
    drop((boxed, empty));
    assert_eq!(heap.stats().expect("the lock").live_blocks, 0);
}
