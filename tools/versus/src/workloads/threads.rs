//! Threads that live for a moment, and leave something behind.

use std::hint::black_box;
use std::thread;

use super::Workload;
use crate::bench::Bench;
use crate::bench::block::Block;

/// Blocks that a thread makes in its life.
const BLOCKS: usize = 200;

/// One in so many blocks is left to whoever joins the thread.
const LEFT: usize = 10;

pub(super) fn workloads() -> Vec<Workload> {
    vec![
        Workload::new(
            "threads/short-lived",
            "a thread for each request: it allocates a little, leaves a result and ends",
            short_lived,
        )
        .on_threads(),
    ]
}

fn short_lived(bench: &mut Bench) {
    let threads = bench.threads();
    let mut random = fastrand::Rng::with_seed(bench.seed());
    bench.rounds(threads as u64, || {
        let lives: Vec<_> = (0..threads)
            .map(|_| {
                let seed = random.u64(..);
                thread::spawn(move || life(seed))
            })
            .collect();
        for life in lives {
            black_box(life.join().expect("no thread panics"));
        }
    });
}

fn life(seed: u64) -> Vec<Block> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut result = Vec::new();
    for index in 0..BLOCKS {
        let block = Block::new(random.usize(16..1024));
        if index % LEFT == 0 {
            result.push(block);
        }
    }
    result
}
