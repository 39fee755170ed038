//! A `Vec` that is pushed to.

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};

use crate::blocks::Block;
use crate::side::{Shape, Side, sides};

/// Grows a block from 8 bytes by doubling, as `Vec` does, and writes every byte of it.
pub(crate) fn vec_growth(criterion: &mut Criterion) {
    const FINAL_SIZES: [usize; 5] = [1 << 10, 64 << 10, 1 << 20, 16 << 20, 256 << 20];
    let mut group = criterion.benchmark_group("vec_growth");
    for shape in FINAL_SIZES.map(Shape::of) {
        group.throughput(Throughput::Bytes(shape.bytes() as u64));
        if shape.bytes() > 1 << 20 {
            // A pass takes long, so a few of equal length have to do.
            group.sample_size(10).sampling_mode(SamplingMode::Flat);
        }
        for side in sides() {
            group.bench_function(BenchmarkId::new(side.name, shape), |bencher| {
                bencher.iter(|| grow_to(side, shape));
            });
        }
    }
    group.finish();
}

fn grow_to(side: &'static Side, shape: Shape) -> Block {
    let mut block = Block::new(side, Shape::of(8));
    while block.shape().bytes() < shape.bytes() {
        block.grow(Shape::of(2 * block.shape().bytes()));
    }
    block
}
