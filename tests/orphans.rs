//! Blocks outlive the thread that made them: they keep their contents, can be freed by anyone,
//! and the slabs that they lie in are adopted by other threads.

mod common;

use std::collections::HashSet;
use std::thread;

use common::block::{Block, layout};
use common::memory::resident;
use common::{KIB, MIB, alone};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

const SIZES: [usize; 7] = [8, 24, 100, 1000, 5 * KIB, 70 * KIB, 600 * KIB];
/// Bytes of blocks that a thread makes.
const MADE: usize = 4 * MIB;
const ROUNDS: usize = 60;
/// Room for a round or two and what is kept in between; far less than `ROUNDS * MADE`.
const SLACK: usize = 4 * MADE;

fn make() -> Vec<Block> {
    let share = MADE / SIZES.len();
    let blocks_of = |size: usize| (0..share.div_ceil(size).min(3000)).map(move |tag| (size, tag));
    SIZES.into_iter().flat_map(blocks_of).map(|(size, tag)| Block::new(layout(size, 1), tag)).collect()
}

fn made_by_a_thread() -> Vec<Block> {
    thread::spawn(make).join().expect("the maker")
}

/// Runs rounds of `round`, of which only the first few may add resident memory.
fn stays_flat(mut round: impl FnMut()) {
    let mut warm = 0;
    for number in 0..ROUNDS {
        round();
        if number == ROUNDS / 10 {
            warm = resident();
        }
    }
    let after = resident();
    assert!(after < warm + SLACK, "{warm} bytes resident when warm, {after} at the end");
}

#[test]
fn freed_after_the_owner_has_exited() {
    let _alone = alone();
    stays_flat(|| drop(made_by_a_thread()));
}

#[test]
fn freed_by_a_third_thread() {
    let _alone = alone();
    stays_flat(|| {
        let blocks = made_by_a_thread();
        thread::spawn(|| drop(blocks)).join().expect("blocks can be freed");
    });
}

/// Half of the blocks come back before the owner's end, half after it.
#[test]
fn freed_in_halves() {
    let _alone = alone();
    stays_flat(|| {
        let rest = thread::spawn(|| {
            let mut blocks = make();
            blocks.truncate(blocks.len() / 2);
            let (mut first, mut second) = (Vec::new(), Vec::new());
            for (at, block) in blocks.into_iter().enumerate() {
                if at % 2 == 0 { first.push(block) } else { second.push(block) }
            }
            thread::spawn(|| drop(first)).join().expect("blocks can be freed");
            second
        });
        drop(rest.join().expect("the maker"));
    });
}

/// Some block of each slab stays, so that whole slabs cannot be what is reused: this thread, which
/// has a heap of its own, must adopt them.
#[test]
fn adopted_with_live_blocks() {
    let _alone = alone();
    let size = 100;
    let page_of = |block: &Block| block.address() / (4 * KIB);
    let mut blocks: Vec<Block> =
        thread::spawn(move || (0..20_000).map(|tag| Block::new(layout(size, 1), tag)).collect())
            .join()
            .expect("the maker");
    let orphaned: HashSet<usize> = blocks.iter().map(page_of).collect();
    let mut at = 0;
    blocks.retain(|_| {
        at += 1;
        at % 500 == 0
    });
    let again: Vec<Block> = (0..20_000).map(|tag| Block::new(layout(size, 1), tag)).collect();
    let reused = again.iter().filter(|block| orphaned.contains(&page_of(block))).count();
    assert!(reused > 15_000, "only {reused} of 20000 blocks lie in slabs of the thread that has ended");
    blocks.iter().for_each(Block::check);
}
