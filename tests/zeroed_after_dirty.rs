//! `alloc_zeroed` gives zeroes, whatever the memory held before and whichever way it came back.

mod common;

use std::thread;
use std::time::{Duration, Instant};

use common::block::{Block, layout};
use common::{KIB, LARGEST_SMALL, LARGEST_SMALL_ALIGN, MIB, border_sizes, child};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

/// Much longer than freed memory is kept.
const PATIENCE: Duration = Duration::from_secs(60);

/// So many blocks of a size that some slabs are full, one is half used, and some come empty.
fn count(size: usize) -> usize {
    (256 * KIB / size).clamp(3, 300)
}

/// Blocks of `size`, each seen to be zero and then filled.
fn zeroed(size: usize, align: usize) -> Vec<Block> {
    (0..count(size)).map(|tag| Block::zeroed(layout(size, align), tag)).collect()
}

#[test]
fn reused_blocks_of_every_class() {
    for align in [1, 64, 4 * KIB, LARGEST_SMALL_ALIGN] {
        for size in border_sizes(LARGEST_SMALL) {
            let mut blocks = zeroed(size, align);
            // Half of them, so that the slabs stay and their free blocks are reused.
            let mut keep = false;
            blocks.retain(|_| {
                keep = !keep;
                keep
            });
            drop(zeroed(size, align));
        }
    }
}

/// Emptied slabs are cut anew, for another class.
#[test]
fn reused_slabs_of_other_classes() {
    for size in border_sizes(LARGEST_SMALL) {
        drop(zeroed(size, 1));
        drop(zeroed(size / 3 + 1, 1));
    }
}

#[test]
fn reused_mappings() {
    for size in [MIB + 1, 3 * MIB, 2 * MIB, 9 * MIB, 9 * MIB - 5, 30 * MIB, MIB + 1] {
        for align in [1, 4 * KIB, 2 * LARGEST_SMALL_ALIGN, 4 * MIB] {
            drop(zeroed(size, align));
        }
    }
}

/// A shrunk mapping's end, and what a grown one has more, are reused too.
#[test]
fn after_resizing() {
    for size in [100, 40 * KIB, 900 * KIB, 2 * MIB, 7 * MIB] {
        for other in [50, 30 * KIB, 800 * KIB, 3 * MIB, 12 * MIB] {
            for mut block in zeroed(size, 1) {
                block.resize(other);
                drop(block);
                drop(Block::zeroed(layout(size, 1), other));
                drop(Block::zeroed(layout(other, 1), size));
            }
        }
    }
}

/// In a process of its own: nobody else's pages are purged in between.
#[test]
fn after_purge() {
    child::alone(|| {
        let purged = || freestone::stats().purged_total;
        let fill = || {
            for size in border_sizes(LARGEST_SMALL).into_iter().chain([2 * MIB, 5 * MIB]).step_by(7) {
                drop(zeroed(size, 1));
            }
        };
        fill();
        let before = purged();
        freestone::purge();
        assert!(purged() > before, "a purge purges");
        fill();
        // What was freed is purged in passing, when its time has come and a slow path is taken.
        for _ in 0..2 {
            let (before, started) = (purged(), Instant::now());
            while purged() == before {
                assert!(started.elapsed() < PATIENCE, "nothing was purged in passing");
                thread::sleep(Duration::from_millis(10));
                drop(Block::zeroed(layout(300 * KIB, 1), 1));
                drop((0..200).map(|tag| Block::zeroed(layout(2 * KIB, 1), tag)).collect::<Vec<_>>());
            }
            fill();
        }
    });
}

/// Blocks come back from another thread, and slabs from threads that have ended.
#[test]
fn across_threads() {
    for size in [8, 24, 100, 1000, 5 * KIB, 70 * KIB, 600 * KIB, 2 * MIB] {
        let made = thread::spawn(move || zeroed(size, 1)).join().expect("the maker");
        let mut rest = made.into_iter();
        drop(rest.by_ref().step_by(2).collect::<Vec<_>>());
        drop(zeroed(size, 1));
        drop(rest);
        drop(zeroed(size, 1));
    }
}
