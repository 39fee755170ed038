//! The counts of a thread's calls are exact, and its own.

use std::alloc::{Layout, alloc};
use std::hint::black_box;
use std::thread;

use freestone::Freestone;
use freestone::counting::{Counted, Region};

#[global_allocator]
static ALLOC: Counted<Freestone> = Counted::new(Freestone::new());

#[test]
fn every_call_is_counted_once() {
    let region = Region::new();
    black_box(black_box(17_u64) * 3);
    assert!(region.counts().is_nothing());

    let boxes: [Box<u64>; 8] = std::array::from_fn(|index| black_box(Box::new(index as u64)));
    let mut text = black_box(String::with_capacity(10));
    text.reserve_exact(100);
    let zeroes = black_box(vec![0_u8; 1000]);
    let counts = region.counts();
    assert_eq!((counts.allocations, counts.frees, counts.resizes), (10, 0, 1));
    assert_eq!(counts.live_bytes(), 8 * 8 + 100 + 1000);

    drop(boxes);
    text.shrink_to(20);
    drop(zeroes);
    let counts = region.counts();
    assert_eq!((counts.allocations, counts.frees, counts.resizes, counts.failures), (10, 9, 2, 0));
    assert_eq!(counts.live_bytes(), 20);

    // SAFETY: the size is not zero.
    let none = black_box(unsafe { alloc(Layout::from_size_align(1 << 62, 8).expect("a valid layout")) });
    assert!(none.is_null());
    assert_eq!(region.counts().failures, 1);

    thread::spawn(|| {
        let region = Region::new();
        drop(black_box(vec![1_u8; 100]));
        let counts = region.counts();
        assert_eq!((counts.allocations, counts.frees), (1, 1));
    })
    .join()
    .expect("the thread's counts are its own");
}

#[test]
fn statistics_do_not_allocate() {
    let mut heaps = [freestone::stats::ThreadStats::default(); 16];
    let region = Region::new();
    let first = black_box(freestone::stats());
    let count = black_box(freestone::stats::heap_stats(&mut heaps));
    let second = black_box(freestone::stats());
    black_box(second.since(&first));
    assert!(region.counts().is_nothing());
    assert!(count > 0);
}
