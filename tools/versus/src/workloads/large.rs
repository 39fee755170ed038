//! Blocks that are worth a mapping of their own, and memory that must be zero.

use std::hint::black_box;

use super::Workload;
use super::sizes::Sizes;
use crate::bench::Bench;
use crate::bench::block::Block;

const MIB: usize = 1 << 20;

pub(super) fn workloads() -> Vec<Workload> {
    vec![
        Workload::new(
            "large/5-25 MiB",
            "video frames or matrices: large buffers of changing size, four at once",
            |bench| replace(bench, 5 * MIB, 25 * MIB),
        ),
        Workload::new(
            "large/128-1024 KiB",
            "network and file buffers: medium blocks of changing size, four at once",
            |bench| replace(bench, 128 << 10, MIB),
        ),
        Workload::new("zeroed/small", "small tables that must start as zero", |bench| {
            zeroed(bench, 16, 4096)
        }),
        Workload::new(
            "zeroed/large",
            "hash tables and bitmaps that start as zero, half of which is ever written",
            |bench| zeroed(bench, 64 << 10, 4 * MIB),
        ),
    ]
}

fn replace(bench: &mut Bench, smallest: usize, largest: usize) {
    let mut random = fastrand::Rng::with_seed(bench.seed());
    let mut sizes = Sizes::even(&mut random, smallest, largest);
    let mut slots: [Option<Block>; 4] = Default::default();
    bench.rounds(slots.len() as u64, || {
        for slot in &mut slots {
            // Freed before the next is made, as `frame = None` would.
            drop(slot.take());
            *slot = Some(Block::new(sizes.next()));
        }
    });
    black_box(&slots);
}

fn zeroed(bench: &mut Bench, smallest: usize, largest: usize) {
    const BLOCKS: usize = 16;
    let mut random = fastrand::Rng::with_seed(bench.seed());
    let mut sizes = Sizes::power_law(&mut random, smallest, largest);
    bench.rounds(BLOCKS as u64, || {
        for index in 0..BLOCKS {
            let mut block = Block::zeroed(sizes.next());
            if index % 2 == 0 {
                block.touch();
            } else {
                assert_eq!(block.sum(), 0, "memory that should be zero is not");
            }
            black_box(&block);
        }
    });
}
