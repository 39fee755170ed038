//! Sizes and lifetimes as they come: a table of blocks, of which a random one is replaced by one of
//! a random size, again and again.
//!
//! Imitates the allocation pattern of the Larson benchmark ("Memory allocation for long-running
//! server applications", 1998) with sizes distributed evenly over their logarithms, so that small
//! ones prevail.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::blocks::Block;
use crate::side::{Shape, Side, sides};

/// Decides the traces, which are the same for both sides and in every run.
const SEED: u64 = 0x5eed_0002;

/// Replacements in one pass of a trace.
const STEPS: u16 = 10_000;

/// A range of sizes, and how many blocks are alive at a time.
struct Mix {
    name: &'static str,
    max_bytes: usize,
    blocks: usize,
}

const MIXES: [Mix; 3] = [
    Mix { name: "8B-1KiB", max_bytes: 1 << 10, blocks: 4096 },
    Mix { name: "8B-32KiB", max_bytes: 32 << 10, blocks: 1024 },
    Mix { name: "8B-1MiB", max_bytes: 1 << 20, blocks: 256 },
];

/// Which block is replaced by one of which shape, step by step.
struct Trace {
    steps: Vec<(usize, Shape)>,
    blocks: usize,
}

impl Trace {
    fn of(mix: &Mix) -> Self {
        let mut random = StdRng::seed_from_u64(SEED);
        let (low, high) = (8_f64.ln(), (mix.max_bytes as f64).ln());
        let steps = (0..STEPS)
            .map(|_| {
                let bytes = random.random_range(low..=high).exp() as usize;
                (random.random_range(..mix.blocks), Shape::of(bytes))
            })
            .collect();
        Self { steps, blocks: mix.blocks }
    }

    fn table(&self) -> Vec<Option<Block>> {
        (0..self.blocks).map(|_| None).collect()
    }

    fn run(&self, side: &'static Side, table: &mut [Option<Block>]) {
        for &(place, shape) in &self.steps {
            // Freed before its successor is there, as in a program that makes room first.
            table[place] = None;
            table[place] = Some(Block::new(side, shape));
        }
    }
}

pub(crate) fn one_thread(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mixed");
    group.throughput(Throughput::Elements(u64::from(STEPS)));
    for mix in &MIXES {
        let trace = Trace::of(mix);
        for side in sides() {
            let mut table = trace.table();
            group.bench_function(BenchmarkId::new(side.name, mix.name), |bencher| {
                bencher.iter(|| trace.run(side, &mut table));
            });
        }
    }
    group.finish();
}

/// The same on every core at once, each thread with a table of its own.
pub(crate) fn every_core(criterion: &mut Criterion) {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut group = criterion.benchmark_group("mixed_every_core");
    group.throughput(Throughput::Elements(threads as u64 * u64::from(STEPS)));
    for mix in &MIXES {
        let trace = Trace::of(mix);
        for side in sides() {
            group.bench_function(BenchmarkId::new(side.name, mix.name), |bencher| {
                bencher.iter_custom(|passes| run_on_threads(threads, side, &trace, passes));
            });
        }
    }
    group.finish();
}

/// The time from the start of all threads to the end of the last one.
fn run_on_threads(threads: usize, side: &'static Side, trace: &Trace, passes: u64) -> Duration {
    let start_line = Barrier::new(threads + 1);
    let finish_line = Barrier::new(threads + 1);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut table = trace.table();
                start_line.wait();
                for _ in 0..passes {
                    trace.run(side, &mut table);
                }
                finish_line.wait();
            });
        }
        start_line.wait();
        let start = Instant::now();
        finish_line.wait();
        start.elapsed()
    })
}
