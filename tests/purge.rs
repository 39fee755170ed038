//! What was freed goes back to the kernel: at once by `purge()`, and by itself after a while.

mod common;

use std::thread;
use std::time::{Duration, Instant};

use common::block::{Block, layout};
use common::memory::resident;
use common::{KIB, MIB, alone};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

/// What a program may keep: its own pages, a slab here and there.
const SLACK: usize = 6 * MIB;
const HELD: usize = 96 * MIB;

/// Touched blocks of many sizes, `HELD` bytes together.
fn hold() -> Vec<Block> {
    let sizes = [24, 100, 700, 5 * KIB, 33 * KIB, 200 * KIB, MIB, 3 * MIB];
    let share = HELD / sizes.len();
    sizes
        .into_iter()
        .flat_map(|size| (0..share / size).map(move |tag| Block::new(layout(size, 1), tag)))
        .collect()
}

/// Gives `back` what `hold` holds. Afterwards not much more may be resident than before.
fn goes_back(back: impl FnOnce(Vec<Block>, usize)) {
    // A first time, for what is only made once.
    drop(hold());
    freestone::purge();
    let before = resident();
    let held = hold();
    assert!(resident() >= before + HELD, "touched memory is resident");
    back(held, before);
    let after = resident();
    assert!(after < before + SLACK, "{before} bytes resident before, {after} after");
}

#[test]
fn by_purge() {
    let _alone = alone();
    goes_back(|held, _| {
        drop(held);
        freestone::purge();
    });
}

/// Blocks that another thread made and this one freed, after that thread has ended.
#[test]
fn by_purge_from_ended_threads() {
    let _alone = alone();
    goes_back(|held, _| {
        drop(held);
        drop(thread::spawn(hold).join().expect("the maker"));
        freestone::purge();
    });
}

/// A program that goes on working, a little, gives back what it does not use.
#[test]
fn in_passing() {
    let _alone = alone();
    goes_back(|held, before| {
        drop(held);
        let started = Instant::now();
        while resident() >= before + SLACK && started.elapsed() < Duration::from_secs(30) {
            // Slow paths do it: a slab's worth of blocks comes and goes.
            drop((0..200).map(|tag| Block::new(layout(2 * KIB, 1), tag)).collect::<Vec<_>>());
            thread::sleep(Duration::from_millis(5));
        }
    });
}
