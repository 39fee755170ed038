//! As the last of a program's threads ends, what they needed again and again goes back, though
//! nobody calls the allocator from then on. Programs that start threads again and again find their
//! memory all the same.
#![cfg(not(feature = "secure"))]

mod common;

use std::hint::black_box;
use std::thread;
use std::time::Instant;

use common::MIB;
use common::memory::{page_bytes, page_faults, resident};
use freestone::HugePagePolicy;

/// A fault is a page of the least size then.
#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new().huge_pages(HugePagePolicy::Never);

const THREADS: usize = 3;
/// What each thread has live at a time, with a large block.
const LIVE: usize = 32 * MIB;
const LARGE: usize = 8 * MIB;
const ROUNDS: usize = 12;
/// What threads may give back without a pause.
const AHEAD_MIB: usize = 512;
/// And how long they pause for each mebibyte from then on.
const MS_A_MIB: u128 = 30;

/// Fills and frees the same memory again and again, so that it is expected to be needed again.
fn work() {
    for _ in 0..4 {
        let mut blocks: Vec<Vec<u8>> = vec![black_box(vec![1; LARGE])];
        let mut bytes = LARGE;
        while bytes < LIVE {
            let length = 500 + blocks.len() * 7919 % 9000;
            blocks.push(black_box(vec![1; length]));
            bytes += length;
        }
    }
}

fn run_threads() {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            thread.join().expect("no thread fails");
        }
    });
}

#[test]
fn an_idle_program_holds_nothing_and_a_busy_one_what_it_needs() {
    let before = resident();
    run_threads();
    let after = resident();
    assert!(after < before + 6 * MIB, "{} MiB before, {} after", before / MIB, after / MIB);
    // It does not happen again and again: then each round finds its memory.
    for _ in 0..2 * AHEAD_MIB * MIB / (THREADS * LIVE) {
        run_threads();
    }
    let (faults, begin) = (page_faults(), Instant::now());
    for _ in 0..ROUNDS {
        run_threads();
    }
    let mib = (page_faults() - faults) * page_bytes() / MIB;
    let ahead = (begin.elapsed().as_millis() / MS_A_MIB) as usize;
    println!("{mib} MiB faulted in {ROUNDS} rounds of {} MiB, {ahead} expected", THREADS * LIVE / MIB);
    // What was due before, and what one purge passes the bound by.
    assert!(mib <= ahead + 2 * THREADS * LIVE / MIB, "{mib} MiB in {ROUNDS} rounds, {ahead} expected");
}
