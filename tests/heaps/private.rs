//! Private heaps: blocks are what they must be, the limit holds, misuse is caught.

use freestone::heaps::{Heap, HeapStats, Options, Private};

use crate::common::block::layout;
use crate::common::report::{announce, dies_by_report};
use crate::common::shadow::Model;
use crate::common::{KIB, MIB, border_sizes, seed};

const STEPS: usize = if cfg!(debug_assertions) { 3_000 } else { 30_000 };

#[test]
fn blocks_are_disjoint_aligned_and_keep_their_contents() {
    let heap = Heap::private().expect("a heap");
    let mut random = seed::random(1);
    let mut model = Model::new(&heap, 0);
    for step in 0..STEPS {
        model.step(&mut random, 300);
        if step % 1000 == 0 {
            heap.verify().expect("the records hold");
        }
        if step % 5000 == 4999 {
            heap.purge().expect("the lock");
        }
    }
    assert_eq!(heap.stats().expect("the lock").live_blocks, model.live());
    model.free_all();
    assert_eq!(heap.stats().expect("the lock").live_blocks, 0);
    heap.verify().expect("the records hold");
}

#[test]
fn every_size_and_alignment() {
    let heap = Heap::private().expect("a heap");
    let mut model = Model::new(&heap, 0);
    for size in border_sizes(2 * MIB) {
        for align in [1, 64, 4 * KIB, 64 * KIB, 128 * KIB] {
            assert!(model.allocate(layout(size.max(1), align)), "{size} by {align}");
            model.free(0);
        }
    }
    assert_eq!(heap.stats().expect("the lock").live_blocks, 0);
}

#[test]
fn the_limit_holds_and_everything_can_be_had_again() {
    let heap = Options::new().limit(8 * MIB).private().expect("a heap");
    for size in [16, 24, 1000, 40 * KIB, 300 * KIB, 2 * MIB] {
        let mut model = Model::new(&heap, 0);
        while model.allocate(layout(size, 8)) {}
        let HeapStats { limit, taken, live, .. } = heap.stats().expect("the lock");
        assert_eq!(limit, 8 * MIB);
        assert!(taken <= limit && live <= taken, "{live} of {taken} of {limit}");
        assert!(live > 3 * MIB, "{size}: {live} bytes until the limit");
        model.free_all();
    }
}

#[test]
fn blocks_grow_where_they_are_while_there_is_room() {
    let heap = Options::new().limit(64 * MIB).private().expect("a heap");
    let (small, large) = (layout(5 * MIB, 8), layout(48 * MIB, 8));
    let start = heap.allocate_zeroed(small).expect("memory");
    // SAFETY: the block has that layout.
    let grown = unsafe { heap.reallocate(start, small, large) };
    assert_eq!(grown, Some(start));
    // SAFETY: as above; more than the limit.
    assert_eq!(unsafe { heap.reallocate(start, large, layout(65 * MIB, 8)) }, None);
    // SAFETY: it has the layout that it grew to.
    unsafe { heap.deallocate(start, large) };
    assert_eq!(heap.stats().expect("the lock").live, 0);
}

#[test]
fn a_heap_may_go_to_another_thread() {
    let heap = Heap::private().expect("a heap");
    let start = heap.allocate(layout(100, 8)).expect("memory");
    let address = start.addr().get();
    let heap = std::thread::spawn(move || {
        assert!(heap.contains(address) && heap.allocate(layout(100, 8)).is_some());
        heap
    });
    assert_eq!(heap.join().expect("the thread ends").stats().expect("the lock").live_blocks, 2);
}

fn dies(what: &str, job: impl FnOnce(&Heap<Private>)) {
    dies_by_report(what, || job(&Heap::private().expect("a heap")));
}

#[test]
fn a_double_free_is_caught() {
    dies("double free", |heap| {
        let layout = layout(100, 8);
        let block = heap.allocate(layout).expect("memory");
        announce(block.as_ptr());
        // SAFETY: the second one is the misuse that is caught.
        unsafe {
            heap.deallocate(block, layout);
            heap.deallocate(block, layout);
        }
    });
}

#[test]
fn a_free_into_another_heap_is_caught() {
    dies("free of an address that is no allocation of this heap", |heap| {
        let layout = layout(100, 8);
        let other = Heap::private().expect("a heap");
        let block = other.allocate(layout).expect("memory");
        announce(block.as_ptr());
        // SAFETY: it is the misuse that is caught.
        unsafe { heap.deallocate(block, layout) };
    });
}
