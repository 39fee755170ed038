//! `realloc` across every border keeps the contents and the alignment, and a large block that
//! grows is not copied.

mod common;

use common::block::{Block, layout};
use common::memory::{page_bytes, page_faults};
use common::{GIB, KIB, LARGEST_SMALL, LARGEST_SMALL_ALIGN, MIB, alone, border_sizes};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

/// Goes through `sizes` in order and back, in one block that is resized.
fn there_and_back(sizes: &[usize], align: usize) {
    let mut block = Block::new(layout(sizes[0], align), sizes.len() + align);
    for size in sizes.iter().chain(sizes.iter().rev()) {
        block.resize(*size);
    }
}

fn aligns() -> impl Iterator<Item = usize> {
    // Above the largest alignment of slabs, and above any OS page, every size is a mapping.
    [1, 8, 32, 4 * KIB, LARGEST_SMALL_ALIGN, 2 * LARGEST_SMALL_ALIGN, 2 * MIB].into_iter()
}

#[test]
fn from_class_to_class() {
    let _alone = alone();
    for align in aligns() {
        there_and_back(&border_sizes(LARGEST_SMALL), align);
    }
}

#[test]
fn by_leaps() {
    let _alone = alone();
    let leaps = [1, 40 * KIB, 24, LARGEST_SMALL, 100, 9 * KIB, 70 * KIB, 8, 300 * KIB, 2000];
    for align in aligns() {
        there_and_back(&leaps, align);
    }
}

#[test]
fn across_the_border_between_small_and_large() {
    let _alone = alone();
    for align in aligns() {
        let sizes = [100, LARGEST_SMALL, LARGEST_SMALL + 1, LARGEST_SMALL - 1, 5 * MIB, 17, 3 * MIB];
        there_and_back(&sizes, align);
    }
}

#[test]
fn from_large_to_large() {
    let _alone = alone();
    let page = page_bytes();
    let sizes = [2 * MIB, 2 * MIB + 1, 2 * MIB + page, 9 * MIB, 8 * MIB + 1, 8 * MIB, 33 * MIB, 2 * MIB + 7];
    for align in aligns() {
        there_and_back(&sizes, align);
    }
}

/// Blocks that stand in each other's way: most cannot grow where they are.
#[test]
fn many_large_blocks_in_turns() {
    let _alone = alone();
    for align in [1, 2 * MIB] {
        let mut blocks: Vec<Block> = (0..6).map(|tag| Block::new(layout(2 * MIB, align), tag)).collect();
        for step in 0..24 {
            let at = step * 5 % blocks.len();
            let size = if step % 4 == 3 { 2 * MIB } else { blocks[at].size() + MIB + 3 };
            blocks[at].resize(size);
        }
    }
}

#[test]
fn a_refused_resize_leaves_the_block_as_it_was() {
    let _alone = alone();
    for size in [24, 4 * KIB, LARGEST_SMALL, 3 * MIB] {
        for align in aligns() {
            let mut block = Block::new(layout(size, align), size);
            assert!(!block.try_resize(isize::MAX as usize + 1 - align));
            block.check();
            block.resize(size + 1);
        }
    }
}

/// Copying touches every page of the new place; moving page tables touches none.
#[test]
fn a_growing_large_block_is_not_copied() {
    let _alone = alone();
    // With guards, one that is aligned to more than a page does not move.
    let aligns: &[usize] = if cfg!(feature = "secure") { &[1] } else { &[1, 2 * MIB] };
    for &align in aligns {
        let layout = layout(64 * MIB, align);
        // SAFETY: the size is not zero.
        let mut start = unsafe { std::alloc::alloc(layout) };
        assert!(!start.is_null());
        // SAFETY: the block is that long.
        unsafe { start.write_bytes(1, layout.size()) };
        let pages = layout.size() / page_bytes();
        let before = page_faults();
        let mut at = layout;
        for new in [100 * MIB, 256 * MIB, GIB] {
            // SAFETY: the block is live with the layout `at`.
            start = unsafe { std::alloc::realloc(start, at, new) };
            assert!(!start.is_null());
            at = common::block::layout(new, align);
        }
        let faults = page_faults() - before;
        // SAFETY: the block is live, and as long as its last layout says.
        unsafe {
            assert_eq!((start.read(), start.add(layout.size() - 1).read()), (1, 1));
            std::alloc::dealloc(start, at);
        }
        assert!(faults < pages / 16, "{faults} page faults while moving {pages} pages");
    }
}
