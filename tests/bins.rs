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

/// Sizes that nothing else here asks for: of short classes, of the longest with a bin, and beyond.
const SIZES: [usize; 7] = [72, 200, 500, 1000, 2000, 3900, 6000];

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
        for size in &SIZES[..6] {
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
            let (_, used, block) = class_of(size);
            assert!(used >= 1000, "{size}: {used}");
            blocks.into_iter().for_each(|start| free(start, size));
            let (binned, left, _) = class_of(size);
            let places = if block > MOST_BYTES { 0 } else { MOST_BLOCKS.min(MOST_BYTES / block) };
            assert_eq!((binned, used - left), (places, 1000), "{size}");
        }
        let all: usize = freestone::stats().classes().map(|class| class.binned * class.block).sum();
        assert_eq!(all, freestone::stats().binned);
    });
}

#[test]
fn idle_threads_and_those_that_end_keep_none() {
    child::alone(|| {
        let keep = |size: usize| {
            let blocks: Vec<*mut u8> = (0..100).map(|_| make(size)).collect();
            blocks.into_iter().for_each(|start| free(start, size));
        };
        keep(200);
        assert_ne!(class_of(200).0, 0);
        freestone::thread_idle();
        assert_eq!(class_of(200).0, 0, "after `thread_idle`");
        keep(200);
        freestone::purge();
        assert_eq!(class_of(200).0, 0, "after `purge`");
        thread::spawn(move || {
            keep(200);
            assert_ne!(class_of(200).0, 0);
        })
        .join()
        .expect("no fault");
        assert_eq!(class_of(200).0, 0, "after the thread's end");
    });
}

#[test]
fn slabs_of_binned_blocks_go_back() {
    child::alone(|| {
        let blocks: Vec<*mut u8> = (0..64 * MIB / 3900).map(|_| make(3900)).collect();
        blocks.into_iter().for_each(|start| free(start, 3900));
        freestone::purge();
        let stats = freestone::stats();
        assert!(stats.slabs < MIB, "{stats}");
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
