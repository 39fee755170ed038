//! Threads that race for the last bytes below the memory limit never pass it, and each of them is
//! served again afterwards.

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use common::block::{Block, layout};
use common::{KIB, MIB};

const LIMIT: usize = 64 * MIB;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new().memory_limit(LIMIT);

const SIZES: [usize; 6] = [64, 1_000, 20 * KIB, 300 * KIB, MIB, 2 * MIB];

#[test]
fn sixteen_threads_race_for_the_last_bytes() {
    let most_seen = AtomicUsize::new(0);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let (most_seen, done) = (&most_seen, &done);
        scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                most_seen.fetch_max(freestone::stats().committed, Ordering::Relaxed);
            }
        });
        // Threads and lists of blocks are memory, too, and are there before the race for the rest
        // begins.
        let start = Arc::new(Barrier::new(16));
        let racing: Vec<_> = (0..16)
            .map(|racer| {
                let (start, blocks) = (start.clone(), Vec::with_capacity(20_000));
                scope.spawn(move || {
                    start.wait();
                    race(racer, blocks);
                })
            })
            .collect();
        for racer in racing {
            racer.join().expect("no racer fails");
        }
        done.store(true, Ordering::Relaxed);
    });
    let most_seen = most_seen.into_inner();
    assert!(most_seen <= LIMIT, "{most_seen} bytes were committed");
    assert!(most_seen > LIMIT / 2, "{most_seen} bytes only: there was no race");
    // All of it is free again, and can be had in one piece.
    freestone::purge();
    let large = Block::try_new(layout(LIMIT - 8 * MIB, 1), 0);
    assert!(large.is_some(), "{}", freestone::stats());
}

fn race(racer: usize, mut blocks: Vec<Block>) {
    for round in 0..4 {
        let size = SIZES[(racer + round) % SIZES.len()];
        while blocks.len() < blocks.capacity()
            && let Some(block) = Block::try_new(layout(size, 1), racer)
        {
            blocks.push(block);
        }
        // Half is freed in between, so that others find room while this one fills again.
        blocks.truncate(blocks.len() / 2);
    }
}
