//! One block at a time.

use criterion::{BenchmarkId, Criterion};

use crate::blocks::Block;
use crate::side::{Shape, sides};

/// Allocates a block and frees it at once: a temporary `Box` or `String`.
pub(crate) fn pairs(criterion: &mut Criterion) {
    const SIZES: [usize; 10] = [8, 24, 64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20];
    let mut group = criterion.benchmark_group("pairs");
    for shape in SIZES.map(Shape::of) {
        for side in sides() {
            group.bench_function(BenchmarkId::new(side.name, shape), |bencher| {
                bencher.iter(|| Block::new(side, shape));
            });
        }
    }
    group.finish();
}

/// Allocates a zeroed block, touches every page of it and frees it: `vec![0; n]`.
///
/// The block is dirty when it is freed, so whoever hands it out again has to clear it.
pub(crate) fn zeroed(criterion: &mut Criterion) {
    const SIZES: [usize; 6] = [64, 1 << 10, 16 << 10, 256 << 10, 1 << 20, 16 << 20];
    let mut group = criterion.benchmark_group("zeroed");
    for shape in SIZES.map(Shape::of) {
        for side in sides() {
            group.bench_function(BenchmarkId::new(side.name, shape), |bencher| {
                bencher.iter(|| Block::new_zeroed(side, shape).touch());
            });
        }
    }
    group.finish();
}
