//! Collections live in heaps of every kind.

mod heap_support;

use std::collections::BTreeMap;

use allocator_api2::boxed::Box;
use allocator_api2::vec::Vec;
use freestone::heaps::{Handle, Heap, Kind, Options};
use hashbrown::{DefaultHashBuilder, HashMap};
use heap_support::MIB;

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
    assert!(heap.stats().live_blocks >= expected.values().filter(|length| **length > 0).count());
    drop(words);
    assert_eq!(heap.stats().live_blocks, 0);
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

#[test]
fn nothing_takes_nothing() {
    let heap = Heap::private().expect("a heap");
    let boxed = Box::new_in((), &heap);
    let mut empty: Vec<u64, _> = Vec::new_in(&heap);
    empty.shrink_to_fit();
    assert_eq!(heap.stats().live_blocks, 0);
    empty.push(1);
    empty.pop();
    empty.shrink_to_fit();
    drop((boxed, empty));
    assert_eq!(heap.stats().live_blocks, 0);
}
