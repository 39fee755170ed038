//! False sharing: blocks of different threads in one cache line.

use std::hint::black_box;
use std::sync::Mutex;

use super::Workload;
use crate::bench::Bench;

/// Blocks made and freed in a round.
const BLOCKS: usize = 100;

/// Writes to each block.
const WRITES: u64 = 500;

pub(super) fn workloads() -> Vec<Workload> {
    vec![
        Workload::new(
            "threads/active sharing",
            "counters that each thread makes for itself: does the allocator hand neighbours in one cache line to two threads?",
            |bench| share(bench, |_| None),
        )
        .on_threads(),
        Workload::new(
            "threads/passive sharing",
            "counters made side by side by one thread, freed and made anew by others: does the cache line stay shared?",
            |bench| {
                let counters: Vec<Mutex<Option<Box<u64>>>> = (0..bench.threads())
                    .map(|_| Mutex::new(Some(Box::new(0))))
                    .collect();
                share(bench, move |index| {
                    counters[index].lock().expect("nobody panics here").take()
                });
            },
        )
        .on_threads(),
    ]
}

/// Runs threads that make, write and free one small block after another, each
/// beginning with what `first` has for it.
fn share(bench: &mut Bench, first: impl Fn(usize) -> Option<Box<u64>> + Sync) {
    bench.crew(BLOCKS as u64, |mut worker| {
        let mut counter = first(worker.index).unwrap_or_else(fresh);
        worker.measured(|worker| {
            for _ in 0..worker.rounds as usize * BLOCKS {
                for value in 0..WRITES {
                    *black_box(&mut *counter) += value;
                }
                drop(counter);
                counter = fresh();
            }
            black_box(counter);
        });
    });
}

/// A counter with an allocation of its own.
fn fresh() -> Box<u64> {
    Box::new(0)
}
