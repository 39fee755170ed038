//! `guard_pages`: a large block's neighbours cannot be touched; the block itself behaves as ever.

mod common;

use std::ptr;

use common::block::{Block, layout};
use common::child::{self, Child};
use common::memory::page_bytes;
use common::{KIB, MIB};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new().guard_pages(true);

const SIZE: usize = 3 * MIB;

/// What `make` makes has a guard before it and one behind.
fn is_guarded(make: impl Fn() -> Block) {
    for (case, before) in [true, false].into_iter().enumerate() {
        dies_at(case, &make, |start, size| if before { start - 1 } else { start + size });
    }
}

fn dies_at(case: usize, make: impl FnOnce() -> Block, place: impl FnOnce(usize, usize) -> usize) {
    let child = Child::new(case, || {
        let block = make();
        block.check();
        let place = ptr::with_exposed_provenance_mut::<u8>(place(block.address(), block.layout().size()));
        // SAFETY: not at all: this is what is to be caught.
        unsafe { place.write_volatile(1) };
    });
    if let Some(child) = child {
        child.dies(libc::SIGSEGV, "");
    }
}

#[test]
fn a_new_block_is_guarded() {
    is_guarded(|| Block::new(layout(SIZE, 1), 0));
}

#[test]
fn a_block_that_has_grown_is_guarded() {
    is_guarded(|| {
        let mut block = Block::new(layout(SIZE, 1), 0);
        block.resize(5 * SIZE);
        block
    });
}

#[test]
fn a_block_that_has_shrunk_is_guarded() {
    is_guarded(|| {
        let mut block = Block::new(layout(3 * SIZE, 1), 0);
        block.resize(SIZE);
        block
    });
}

#[test]
fn a_block_cut_from_a_freed_one_is_guarded() {
    is_guarded(|| {
        drop(Block::new(layout(4 * SIZE, 1), 0));
        let first = Block::new(layout(SIZE, 1), 1);
        let second = Block::new(layout(SIZE, 1), 2);
        first.check();
        second
    });
}

#[test]
fn a_block_joined_of_freed_ones_is_guarded_and_whole() {
    is_guarded(|| {
        drop(Block::new(layout(4 * SIZE, 1), 0));
        let parts: Vec<_> = (0..3).map(|tag| Block::new(layout(SIZE, 1), tag)).collect();
        drop(parts);
        Block::new(layout(3 * SIZE, 1), 3)
    });
}

/// Into what was freed behind it, in part and then all of it, without a call that maps or moves.
#[test]
fn a_block_that_has_grown_in_place_is_guarded() {
    is_guarded(|| {
        drop(Block::new(layout(6 * SIZE, 1), 0));
        let mut block = Block::new(layout(SIZE, 1), 1);
        let start = block.address();
        for times in [2, 4, 6] {
            block.resize(times * SIZE);
            block.check();
            assert_eq!(block.address(), start);
        }
        block
    });
}

/// Buffers of changing sizes are cut from what was freed before: few calls map memory.
#[test]
fn freed_blocks_are_used_again() {
    child::alone(|| {
        let mapped =
            || freestone::stats().calls().iter().find(|call| call.name == "mmap").map(|call| call.made);
        let before = mapped().expect("counted");
        let mut live: Vec<Block> = Vec::new();
        for tag in 0..1_000 {
            let mut block = Block::new(layout((5 + tag * 7 % 21) * MIB, 1), tag);
            if tag % 5 == 0 {
                block.resize((5 + tag * 11 % 21) * MIB);
            }
            live.push(block);
            if live.len() > 4 {
                live.swap_remove(tag * 13 % 4).check();
            }
        }
        live.iter().for_each(Block::check);
        drop(live);
        let made = mapped().expect("counted") - before;
        assert!(made < 100, "{made} mappings for 1,000 blocks");
        freestone::purge();
        let stats = freestone::stats();
        assert_eq!((stats.large, stats.retained, stats.lost_total), (0, 0, 0));
    });
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
