//! Bins: what a thread frees, it is given again; how much of it is kept, and for how long.
#![cfg(not(feature = "secure"))]

mod common;

use std::alloc::{alloc, dealloc};
use std::thread;

use common::block::layout;
use common::child::{self, Child};
use common::{KIB, MIB};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

/// Most blocks in a bin, and most bytes of them.
const MOST_BLOCKS: usize = 31;
const MOST_BYTES: usize = 4 * KIB;

/// The longest block that a bin is for.
const LONGEST: usize = KIB;

/// Sizes that nothing else here asks for: of short classes, of the longest with a bin, and beyond.
const SIZES: [usize; 6] = [72, 200, 500, 1000, 2000, 6000];

fn make(size: usize) -> *mut u8 {
    // SAFETY: the size is not zero.
    let start = unsafe { alloc(layout(size, 8)) };
    assert!(!start.is_null());
    start
}

fn free(start: *mut u8, size: usize) {
    // SAFETY: the callers give up a block of their own.
    unsafe { dealloc(start, layout(size, 8)) }
}

/// Blocks of the class of `size` that are in bins, those that are used, and bytes of a block.
fn class_of(size: usize) -> (usize, usize, usize) {
    let stats = freestone::stats();
    let class = stats.classes().find(|class| class.block >= size).expect("the class has had a slab");
    (class.binned, class.used, class.block)
}

#[test]
fn the_last_block_freed_is_the_next_one_given() {
    child::alone(|| {
        for size in &SIZES[..4] {
            let blocks: Vec<*mut u8> = (0..3).map(|_| make(*size)).collect();
            blocks.iter().for_each(|start| free(*start, *size));
            let again: Vec<*mut u8> = (0..3).map(|_| make(*size)).collect();
            let places = (MOST_BYTES / size).min(3);
            assert!(blocks[..places].iter().rev().eq(&again[..places]), "{size}: {blocks:?} and {again:?}");
            again.iter().for_each(|start| free(*start, *size));
        }
    });
}

#[test]
fn a_bin_is_bounded_and_blocks_in_it_count_as_free() {
    child::alone(|| {
        for size in SIZES {
            let blocks: Vec<*mut u8> = (0..1000).map(|_| make(size)).collect();
            let (others, used, block) = class_of(size);
            assert!(used >= 1000, "{size}: {used}");
            // The others keep their slabs from falling empty, which would bring those in the bin home.
            blocks.iter().step_by(2).for_each(|start| free(*start, size));
            let (binned, left, _) = class_of(size);
            let places = if block > LONGEST { 0 } else { MOST_BLOCKS.min(MOST_BYTES / block) };
            assert_eq!((binned - others, used - left), (places, 500), "{size}");
        }
        let all: usize = freestone::stats().classes().map(|class| class.binned * class.block).sum();
        assert_eq!(all, freestone::stats().binned);
    });
}

#[test]
fn idle_threads_and_those_that_end_keep_none() {
    child::alone(|| {
        let keep = |size: usize| {
            let blocks: Vec<*mut u8> = (0..200).map(|_| make(size)).collect();
            blocks.iter().step_by(2).for_each(|start| free(*start, size));
        };
        keep(200);
        let full = class_of(200).0;
        freestone::thread_idle();
        // The harness's thread has some of its own.
        let others = class_of(200).0;
        assert!(full >= others + MOST_BYTES / 208, "{full}, {others} after `thread_idle`");
        keep(200);
        assert_eq!(class_of(200).0, full);
        freestone::purge();
        assert_eq!(class_of(200).0, others, "after `purge`");
        let in_thread = thread::spawn(move || {
            keep(200);
            class_of(200).0
        });
        assert_eq!(in_thread.join().expect("no fault"), full);
        assert_eq!(class_of(200).0, others, "after the thread's end");
    });
}

/// In whatever order: blocks in a bin whose slab has no others leave it.
#[test]
fn a_bin_keeps_no_slab_from_falling_empty() {
    child::alone(|| {
        let slabs = |at: &str| freestone::stats().classes().find(|class| class.block >= 900).expect(at).slabs;
        free(make(900), 900);
        let before = slabs("a block");
        for stride in [1, 7, 64, 1009] {
            let mut blocks: Vec<*mut u8> = (0..64 * MIB / 900).map(|_| make(900)).collect();
            let peak = slabs("many blocks");
            for from in 0..stride {
                blocks.iter_mut().skip(from).step_by(stride).for_each(|start| free(*start, 900));
            }
            blocks.clear();
            let after = slabs("freed blocks");
            // The current one, and one that was put aside.
            assert!(peak > 900 && after <= before + 2, "{stride}: {before} slabs, {peak}, {after}");
        }
    });
}

/// The block's neighbours are the other thread's, which may be writing there.
#[test]
fn a_block_of_another_thread_is_not_kept() {
    child::alone(|| {
        let start = make(72).expose_provenance();
        let next = thread::spawn(move || {
            free(std::ptr::with_exposed_provenance_mut(start), 72);
            make(72).addr()
        });
        assert_ne!(next.join().expect("no fault"), start);
    });
}

#[test]
fn where_every_free_is_checked_there_are_none() {
    let job = || {
        let blocks: Vec<*mut u8> = (0..100).map(|_| make(200)).collect();
        blocks.into_iter().for_each(|start| free(start, 200));
        assert_eq!(freestone::stats().binned, 0);
    };
    if let Some(child) = Child::new("checked", job) {
        child.env("FREESTONE_CHECK_FREES", "1").succeeds();
    }
}
