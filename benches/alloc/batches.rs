//! Many blocks of one size, all allocated and then all freed, in one of three orders.

use criterion::{BenchmarkId, Criterion, Throughput};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::blocks::Batch;
use crate::side::{Shape, sides};

/// Decides the random order, which is the same for both sides and in every run.
const SEED: u64 = 0x5eed_0001;

/// Frees the youngest block first: a recursion that unwinds.
pub(crate) fn lifo(criterion: &mut Criterion) {
    compare(criterion, "batch_lifo", |_| Batch::free_lifo);
}

/// Frees the oldest block first: a queue.
pub(crate) fn fifo(criterion: &mut Criterion) {
    compare(criterion, "batch_fifo", |_| Batch::free_fifo);
}

/// Frees in random order: a hash map that is emptied.
pub(crate) fn random(criterion: &mut Criterion) {
    compare(criterion, "batch_random", |blocks| {
        let mut random = StdRng::seed_from_u64(SEED);
        let picks: Vec<usize> = (1..=blocks).rev().map(|left| random.random_range(..left)).collect();
        move |batch: &mut Batch| batch.free_picked(&picks)
    });
}

/// One group; `emptier` makes, for a number of blocks, what frees them all.
fn compare<E: Fn(&mut Batch)>(criterion: &mut Criterion, workload: &str, emptier: impl Fn(usize) -> E) {
    const SIZES: [usize; 8] = [8, 24, 64, 512, 4 << 10, 32 << 10, 256 << 10, 1 << 20];
    let mut group = criterion.benchmark_group(workload);
    for shape in SIZES.map(Shape::of) {
        let blocks = blocks_per_batch(shape);
        let empty = emptier(blocks);
        group.throughput(Throughput::Elements(blocks as u64));
        for side in sides() {
            let mut batch = Batch::new(side, shape, blocks);
            group.bench_function(BenchmarkId::new(side.name, shape), |bencher| {
                bencher.iter(|| {
                    batch.fill();
                    empty(&mut batch);
                });
            });
        }
    }
    group.finish();
}

/// Enough to leave what a thread keeps at hand, within 64 MiB.
fn blocks_per_batch(shape: Shape) -> usize {
    ((64 << 20) / shape.bytes()).min(1024)
}
