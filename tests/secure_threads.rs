//! In the `secure` build a free looks at the end of the block before, which another thread may be
//! using.

mod common;

use std::alloc::{alloc, dealloc, realloc};
use std::ptr;
use std::sync::mpsc;

use common::block::layout;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

const BLOCKS: usize = 4096;
const ROUNDS: usize = 300;
const REPEATS: usize = 20;

/// Every second of the blocks of `size` is freed by another thread, while this one works with those
/// between.
fn neighbours(size: usize, work: impl Fn(*mut u8)) {
    let (sender, receiver) = mpsc::channel::<Vec<usize>>();
    let other = std::thread::spawn(move || {
        for address in receiver.into_iter().flatten() {
            // SAFETY: allocated below with that layout, and given up there.
            unsafe { dealloc(ptr::with_exposed_provenance_mut(address), layout(size, 1)) };
        }
    });
    for _ in 0..ROUNDS {
        // SAFETY: the size is not zero.
        let mut blocks: Vec<*mut u8> = (0..BLOCKS).map(|_| unsafe { alloc(layout(size, 1)) }).collect();
        blocks.sort_unstable();
        let theirs = blocks.iter().skip(1).step_by(2).map(|start| start.expose_provenance());
        sender.send(theirs.collect()).expect("the other thread is there");
        blocks.iter().step_by(2).for_each(|start| work(*start));
    }
    drop(sender);
    other.join().expect("every free is well");
}

#[test]
fn a_neighbour_that_is_resized_is_no_fault() {
    // With the seal it fills a size class but for a byte.
    const SIZE: usize = 23;
    neighbours(SIZE, |start| {
        for _ in 0..REPEATS {
            // SAFETY: this thread's own block, of that layout. It stays where it is.
            unsafe {
                assert_eq!(realloc(start, layout(SIZE, 1), SIZE - 1), start);
                assert_eq!(realloc(start, layout(SIZE - 1, 1), SIZE), start);
            }
        }
        // SAFETY: as above.
        unsafe { dealloc(start, layout(SIZE, 1)) };
    });
}

#[test]
fn a_neighbour_that_is_freed_and_used_again_is_no_fault() {
    for size in [1, 8, 23, 40, 56, 64, 100, 1000] {
        neighbours(size, |start| {
            let mut start = start;
            for _ in 0..REPEATS {
                // SAFETY: this thread's own block, of that layout; the size is not zero.
                start = unsafe {
                    dealloc(start, layout(size, 1));
                    alloc(layout(size, 1))
                };
            }
            // SAFETY: as above.
            unsafe { dealloc(start, layout(size, 1)) };
        });
    }
}
