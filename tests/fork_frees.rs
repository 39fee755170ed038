//! A forked child that frees a few of the blocks that it inherited has no copies of their pages.
//!
//! The kernel copies a page as the child writes to it, so the page faults of the frees are counted.
#![cfg(not(any(feature = "secure", feature = "profile")))]

mod common;

use std::hint::black_box;
use std::mem::ManuallyDrop;

use common::forked::{Ending, WELL, in_child};
use common::memory::{page_bytes, page_faults};
use common::{MIB, alone};
use freestone::groups::Group;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

const BYTES: usize = 64;
const BLOCKS: usize = 64 * MIB / BYTES;
/// One of so many is freed: no two lie in one page.
const STEP: usize = 301;
const FREED: usize = BLOCKS.div_ceil(STEP);

type Boxes = Vec<ManuallyDrop<Box<[usize; BYTES / 8]>>>;

fn boxes() -> Boxes {
    (0..BLOCKS).map(|index| ManuallyDrop::new(Box::new([index; BYTES / 8]))).collect()
}

/// Frees every `STEP`th box from `first` on. The page faults that this took.
fn free(boxes: &Boxes, first: usize) -> usize {
    let before = page_faults();
    for index in (first..BLOCKS).step_by(STEP) {
        // SAFETY: each box is freed once, and not used afterwards.
        drop(black_box(unsafe { std::ptr::read(&raw const *boxes[index]) }));
    }
    page_faults() - before
}

/// The boxes that were not freed have what they had.
fn are_whole(boxes: &Boxes, freed: &[usize]) -> bool {
    let is_freed = |index: usize| freed.contains(&(index % STEP));
    boxes.iter().enumerate().all(|(index, one)| is_freed(index) || one.iter().all(|word| *word == index))
}

#[test]
fn a_child_that_frees_a_few_blocks_copies_few_pages() {
    let _alone = alone();
    let boxes = boxes();
    let bound = FREED / 4 * 4096 / page_bytes();
    let child = in_child(|| {
        let faults = free(&boxes, 0);
        assert!(faults < bound, "{faults} page faults of {FREED} frees");
        // They are handed out again, some to a child of the child.
        let again: Vec<_> = (0..FREED / 2).map(|_| Box::new([0_usize; BYTES / 8])).collect();
        let grandchild = in_child(|| {
            let faults = free(&boxes, 7);
            assert!(faults < bound, "{faults} page faults of {FREED} frees in a child's child");
            let mut again: Vec<_> = (0..2 * FREED).map(|_| Box::new([1_usize; BYTES / 8])).collect();
            assert!(are_whole(&boxes, &[0, 7]));
            assert!(again.iter().all(|one| one.iter().all(|word| *word == 1)));
            again.truncate(10);
            freestone::purge();
            assert!(are_whole(&boxes, &[0, 7]));
        });
        assert_eq!(grandchild, WELL);
        assert!(again.iter().all(|one| one.iter().all(|word| *word == 0)));
        assert!(are_whole(&boxes, &[0]));
    });
    assert_eq!(child, WELL);
    assert!(are_whole(&boxes, &[]));
}

#[test]
fn what_is_freed_in_a_child_is_counted_and_goes_back() {
    let _alone = alone();
    let boxes = boxes();
    let child = in_child(|| {
        let before = freestone::stats();
        let _ = free(&boxes, 0);
        let after = freestone::stats();
        assert_eq!((before.requested - after.requested) / BYTES, FREED);
        assert_eq!((before.allocated - after.allocated) / BYTES, FREED);
        (1..STEP).for_each(|first| _ = free(&boxes, first));
        freestone::purge();
        let left = freestone::stats();
        assert_eq!((before.allocated - left.allocated) / BYTES, BLOCKS);
        assert!(left.committed < before.committed - 48 * MIB, "{left}");
    });
    assert_eq!(child, WELL);
}

#[test]
fn pages_that_a_child_has_written_go_back_from_inside_slabs() {
    let _alone = alone();
    let boxes = boxes();
    let child = in_child(|| {
        for one in &boxes {
            // The child's copy of the page.
            // SAFETY: the block is live, and nobody else uses it.
            unsafe { (&raw const one[0]).cast_mut().write_volatile(0) };
        }
        let before = common::memory::resident();
        // A box in five pages stays.
        let stays = 5 * page_bytes() / BYTES;
        for (index, one) in boxes.iter().enumerate() {
            if index % stays != 0 {
                // SAFETY: freed once.
                drop(black_box(unsafe { std::ptr::read(&raw const **one) }));
            }
        }
        freestone::purge();
        let after = common::memory::resident();
        assert!(before - after > 40 * MIB, "{before} before, {after} after");
    });
    assert_eq!(child, WELL);
}

#[test]
fn a_group_goes_on_in_a_child() {
    let _alone = alone();
    let group = Group::create("parent's");
    let boxes = group.enter(boxes);
    let requested = group.requested();
    let child = in_child(|| {
        let _ = free(&boxes, 0);
        group.enter(|| free(&boxes, 1));
        assert_eq!(group.requested(), requested - 2 * FREED * BYTES);
        let again: Vec<_> =
            group.enter(|| (0..3 * FREED).map(|_| Box::new([0_usize; BYTES / 8])).collect::<Vec<_>>());
        assert!(are_whole(&boxes, &[0, 1]) && again.iter().all(|one| one.iter().all(|word| *word == 0)));
        (2..STEP).for_each(|first| _ = free(&boxes, first));
        drop(again);
        freestone::purge();
        // The vector of the boxes is left, which was allocated inside.
        assert_eq!(group.requested(), BLOCKS * size_of_val(&boxes[0]));
    });
    assert_eq!(child, WELL);
}

#[test]
fn a_double_free_in_a_child_is_caught() {
    let _alone = alone();
    let boxes = boxes();
    let child = in_child(|| {
        let _ = free(&boxes, 0);
        let _ = free(&boxes, 0);
    });
    assert_eq!(child, Ending::Signal(libc::SIGABRT));
}
