//! Large blocks of one size begin on different cache lines of their pages, as far as their last
//! page has room; whatever is done with them afterwards finds them there.

mod common;

use std::alloc::{alloc, dealloc, realloc};
use std::collections::HashSet;

use common::block::{Block, layout};
use common::memory::page_bytes;
use common::{MIB, alone};
use freestone::untyped;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

const BLOCKS: usize = 64;
const LINE: usize = 64;

/// The cache sets, of 64, in which the blocks begin.
fn sets(blocks: &[Block]) -> usize {
    blocks.iter().map(|block| block.address() / LINE % 64).collect::<HashSet<_>>().len()
}

#[test]
fn equal_blocks_begin_in_many_cache_sets() {
    let _alone = alone();
    for size in [MIB + 100, 2 * MIB + 1, 3 * MIB + page_bytes() / 4] {
        let blocks: Vec<_> = (0..BLOCKS).map(|tag| Block::new(layout(size, 1), tag)).collect();
        // Where a guard lies before each block, or its first bytes were cleared, it begins there.
        let least = if cfg!(feature = "secure") { 1 } else { 32 };
        assert!(sets(&blocks) >= least, "{size}: {} sets", sets(&blocks));
        // In turns, too.
        let seconds: Vec<_> = blocks.into_iter().step_by(2).collect();
        assert!(sets(&seconds) >= least / 2, "{size}: {} sets", sets(&seconds));
    }
}

#[test]
fn alignments_are_kept() {
    let _alone = alone();
    for log2 in 0..=16 {
        // Each block looks whether it is aligned, here and when it is resized.
        let size = MIB + 100;
        let mut blocks: Vec<_> = (0..8).map(|tag| Block::new(layout(size, 1 << log2), tag)).collect();
        for block in &mut blocks {
            block.resize(5 * MIB + 3);
            block.resize(2 * MIB);
        }
    }
}

#[test]
fn what_a_block_has_is_its_own_to_the_last_byte() {
    let _alone = alone();
    let size = MIB + 100;
    let mut starts = Vec::new();
    for tag in 0..16_u8 {
        let start = untyped::allocate(size);
        assert!(!start.is_null());
        // SAFETY: the block is live.
        let usable = unsafe { untyped::usable_size(start) };
        assert!(usable >= size && usable < size + page_bytes());
        // SAFETY: so many bytes are the block's.
        unsafe { start.write_bytes(tag, usable) };
        starts.push((start, usable));
    }
    for (tag, (start, usable)) in starts.into_iter().enumerate() {
        // SAFETY: the block is live, and was filled.
        unsafe {
            let bytes = std::slice::from_raw_parts(start, usable);
            assert!(bytes.iter().all(|byte| usize::from(*byte) == tag));
            untyped::free(start);
        }
    }
}

/// The kernel moves whole pages, and the block keeps its place in its first one.
#[test]
fn a_block_keeps_its_place_in_the_page_when_it_grows() {
    let _alone = alone();
    for _ in 0..8 {
        let mut at = layout(MIB + 100, 8);
        // SAFETY: the size is not zero.
        let mut start = unsafe { alloc(at) };
        let place = start.addr() % page_bytes();
        let copied = freestone::stats().copied_total;
        for size in [3 * MIB, 20 * MIB + 5, 90 * MIB] {
            // SAFETY: the block is live with this layout.
            start = unsafe { realloc(start, at, size) };
            assert!(!start.is_null());
            at = layout(size, 8);
            assert_eq!(start.addr() % page_bytes(), place);
        }
        assert_eq!(freestone::stats().copied_total, copied);
        // SAFETY: live with the last layout, and given up.
        unsafe { dealloc(start, at) };
    }
}

#[test]
fn a_block_is_described_by_its_own_bytes() {
    let _alone = alone();
    let blocks: Vec<_> = (0..8).map(|tag| Block::new(layout(MIB + 100, 1), tag)).collect();
    for block in blocks {
        let told = freestone::describe(block.address() as *const u8).to_string();
        assert!(told.contains(&format!("{:#x}, live", block.address())), "{told}");
    }
}
