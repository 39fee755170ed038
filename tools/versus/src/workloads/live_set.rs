//! How much memory a live set of known size takes, and what stays when it is
//! freed.

use std::hint::black_box;

use super::sizes::Sizes;
use super::{Judged, Workload};
use crate::bench::Bench;
use crate::bench::block::Block;

/// Bytes that the program holds at the peak, its own table of blocks included.
const LIVE: usize = 128 << 20;

pub(super) fn workloads() -> Vec<Workload> {
    vec![
        workload("memory/small", "a set of small objects, 16 to 256 bytes", 16, 256),
        workload("memory/medium", "a set of buffers, 4 KiB to 1 MiB", 4 << 10, 1 << 20),
        workload("memory/mixed", "a set of everything, 16 bytes to 1 MiB", 16, 1 << 20),
    ]
}

fn workload(name: &str, imitates: &'static str, smallest: usize, largest: usize) -> Workload {
    Workload::new(name, imitates, move |bench| hold(bench, smallest, largest))
        .fixed()
        .judged_by(Judged::Memory)
}

fn hold(bench: &mut Bench, smallest: usize, largest: usize) {
    let mut random = fastrand::Rng::with_seed(bench.seed());
    let mut sizes = Sizes::power_law(&mut random, smallest, largest);
    // The table has its final size from the start: growing it would be counted
    // against the allocator, and is measured elsewhere.
    let (blocks, bytes) = plan(&mut sizes);
    let held = bench.once(blocks as u64, || {
        let mut held: Vec<Block> = Vec::with_capacity(blocks);
        held.extend((0..blocks).map(|_| Block::new(sizes.next())));
        held
    });
    bench.held(bytes);
    // Freed in no order, as programs do.
    let mut held = held;
    random.shuffle(&mut held);
    black_box(held);
}

/// How many of the next sizes, with their places in the table, make up the live
/// set, and how many bytes those are.
fn plan(sizes: &mut Sizes) -> (usize, usize) {
    let mut blocks = 0;
    let mut bytes = 0;
    while bytes < LIVE {
        bytes += sizes.next() + size_of::<Block>();
        blocks += 1;
    }
    sizes.start_again();
    (blocks, bytes)
}
