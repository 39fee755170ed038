//! Requests that follow one another, each of which takes as much memory as the one before and frees
//! it, find it where they left it, however much that is; and when they end it goes back.

mod common;

use std::alloc::{Layout, alloc, dealloc};
use std::thread;
use std::time::{Duration, Instant};

use common::block::{Block, layout};
use common::memory::{page_bytes, page_faults, resident};
use common::{KIB, MIB, alone};
use freestone::HugePagePolicy;

/// A fault is a page of the least size then.
#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new().huge_pages(HugePagePolicy::Never);

/// In the first the allocator learns what the others need.
const LEARNT: usize = 4;
const ROUNDS: usize = 6;
const REQUESTS: [usize; 6] = [8, 40, 48, 64, 128, 256];
/// Faults a round that say nothing: a mebibyte's, where blocks came to lie otherwise.
const A_FEW: usize = 256;
const PATIENCE: Duration = Duration::from_secs(60);

/// Takes blocks of `bytes` together, writes to each page, and frees all.
fn request(blocks: &mut Vec<(*mut u8, Layout)>, bytes: usize, size: impl Fn(usize) -> usize) {
    let mut left = bytes;
    while left > 0 {
        let layout = layout(size(blocks.len()), 8);
        left = left.saturating_sub(layout.size());
        // SAFETY: the size is not zero.
        let start = unsafe { alloc(layout) };
        assert!(!start.is_null());
        for at in (0..layout.size()).step_by(page_bytes()) {
            // SAFETY: the byte lies in the block.
            unsafe { start.byte_add(at).write_volatile(1) };
        }
        blocks.push((start, layout));
    }
    for (start, layout) in blocks.drain(..) {
        // SAFETY: allocated above with this layout, and freed once.
        unsafe { dealloc(start, layout) };
    }
}

fn calls() -> u64 {
    let stats = freestone::stats();
    stats.calls().iter().filter(|call| ["munmap", "madvise"].contains(&call.name)).map(|call| call.made).sum()
}

/// The later of many requests of `mib` in blocks of some `size` fault in next to nothing and give
/// nothing back.
fn finds_what_it_left(blocks: &mut Vec<(*mut u8, Layout)>, mib: usize, size: impl Fn(usize) -> usize) {
    freestone::purge();
    for _ in 0..LEARNT {
        request(blocks, mib * MIB, &size);
    }
    let (faults, given_back) = (page_faults(), calls());
    for _ in 0..ROUNDS {
        request(blocks, mib * MIB, &size);
    }
    let pages = mib * MIB / page_bytes();
    let (faults, given_back) = ((page_faults() - faults) / ROUNDS, calls() - given_back);
    println!("{mib} MiB: {faults} faults a round of {pages} pages, {given_back} calls that give back");
    assert!(faults <= A_FEW + pages / 50, "{mib} MiB: {faults} faults a round of {pages} pages");
    assert!(given_back <= 64, "{mib} MiB: {given_back} calls in {ROUNDS} rounds");
}

fn block_list() -> Vec<(*mut u8, Layout)> {
    Vec::with_capacity(256 * MIB / (2 * KIB))
}

#[test]
fn requests_find_their_memory_again_whatever_their_size() {
    let _alone = alone();
    let mut blocks = block_list();
    for mib in REQUESTS {
        finds_what_it_left(&mut blocks, mib, |index| 2 * KIB + index * 7919 % (18 * KIB));
    }
}

/// Blocks that are ranges of their own: more of them, and more bytes, than are kept for nothing.
#[test]
fn and_so_do_requests_of_large_blocks() {
    let _alone = alone();
    let mut blocks = block_list();
    for (mib, size) in [(64, 4 * MIB), (200, 4 * MIB), (200, 200 * MIB), (120, 3 * MIB)] {
        finds_what_it_left(&mut blocks, mib, |_| size);
    }
}

/// When the last request is over, slow paths that come now and then give back what the many held.
#[test]
fn what_the_requests_held_goes_back_when_they_end() {
    let _alone = alone();
    let mut blocks = block_list();
    freestone::purge();
    let before = resident();
    for size in [10 * KIB, 4 * MIB] {
        for _ in 0..LEARNT {
            request(&mut blocks, 200 * MIB, |_| size);
        }
        assert!(resident() > before + 150 * MIB, "kept for the next");
        let unchanged_mark = Instant::now();
        while resident() > before + 16 * MIB {
            assert!(unchanged_mark.elapsed() < PATIENCE, "{before} bytes before, {} after", resident());
            // Some slabs of blocks, and one that is a range.
            drop((0..200).map(|tag| Block::new(layout(2 * KIB, 1), tag)).collect::<Vec<_>>());
            drop(Block::new(layout(2 * MIB, 1), 0));
            thread::sleep(Duration::from_millis(5));
        }
    }
}
