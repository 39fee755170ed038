//! In the `secure` build a free looks at the end of the block before, which another thread may be using.

mod common;

use std::alloc::{alloc, dealloc, realloc};
use std::ptr;
use std::sync::mpsc;

use common::block::layout;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

/// With the seal it fills a size class but for a byte.
const SIZE: usize = 23;
const BLOCKS: usize = 128;
const ROUNDS: usize = 500;
const RESIZES: usize = 20;

#[test]
fn a_neighbour_at_work_is_no_fault() {
    let (sender, receiver) = mpsc::channel::<Vec<usize>>();
    let other = std::thread::spawn(move || {
        for address in receiver.into_iter().flatten() {
            // SAFETY: allocated below with that layout, and given up there.
            unsafe { dealloc(ptr::with_exposed_provenance_mut(address), layout(SIZE, 1)) };
        }
    });
    for _ in 0..ROUNDS {
        // SAFETY: the size is not zero.
        let mut blocks: Vec<*mut u8> = (0..BLOCKS).map(|_| unsafe { alloc(layout(SIZE, 1)) }).collect();
        blocks.sort_unstable();
        let theirs = blocks.iter().skip(1).step_by(2).map(|start| start.expose_provenance());
        sender.send(theirs.collect()).expect("the other thread is there");
        for start in blocks.iter().step_by(2) {
            for _ in 0..RESIZES {
                // SAFETY: this thread's own block, of that layout. It stays where it is.
                unsafe {
                    assert_eq!(realloc(*start, layout(SIZE, 1), SIZE - 1), *start);
                    assert_eq!(realloc(*start, layout(SIZE - 1, 1), SIZE), *start);
                }
            }
            // SAFETY: as above.
            unsafe { dealloc(*start, layout(SIZE, 1)) };
        }
    }
    drop(sender);
    other.join().expect("every free is well");
}
