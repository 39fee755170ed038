//! `guard_pages`: a large block's neighbours cannot be touched; the block itself behaves as ever.

mod common;

use std::ptr;

use common::block::{Block, layout};
use common::memory::page_bytes;
use common::{KIB, MIB, child};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new().guard_pages();

const SIZE: usize = 3 * MIB;

fn dies_at(case: usize, place: impl FnOnce(usize) -> usize) {
    let output = child::run(std::thread::current().name().expect("a test has a name"), case, || {
        let block = Block::new(layout(SIZE, 1), 0);
        let place = ptr::with_exposed_provenance_mut::<u8>(place(block.address()));
        // SAFETY: not at all: this is what is to be caught.
        unsafe { place.write_volatile(1) };
    });
    if let Some(output) = output {
        assert_eq!(child::signal(&output), Some(libc::SIGSEGV), "{}", child::said(&output));
    }
}

#[test]
fn a_write_before_is_a_signal() {
    dies_at(0, |start| start - 1);
}

#[test]
fn a_write_behind_is_a_signal() {
    dies_at(0, |start| start + SIZE);
}

#[test]
fn blocks_grow_shrink_and_go() {
    let mut block = Block::new(layout(SIZE, 1), 7);
    for size in [5 * MIB, 2 * MIB, 100 * KIB, 9 * MIB] {
        block.resize(size);
        block.check();
    }
    let aligned: Vec<_> = (17..24).map(|log2| Block::new(layout(SIZE, 1 << log2), log2)).collect();
    aligned.iter().for_each(Block::check);
    drop(aligned);
    drop(block);
    freestone::purge();
    assert!(freestone::stats().large == 0 && freestone::stats().retained == 0);
    // Nothing of it stays mapped: the guards neither.
    let before = common::memory::mapped();
    for tag in 0..2_000 {
        drop(Block::new(layout(SIZE + tag % 7 * page_bytes(), 1), tag));
    }
    assert!(common::memory::mapped() < before + 16 * MIB);
}
