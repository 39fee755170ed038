//! Many blocks live at once, freed in one order or another.

use std::hint::black_box;

use super::Workload;
use super::sizes::Sizes;
use crate::bench::Bench;
use crate::bench::block::Block;

/// Blocks in a batch.
const BATCH: usize = 10_000;

/// Blocks that live at once among the mixed sizes.
const SLOTS: usize = 100_000;

/// The order in which a batch is freed.
#[derive(Clone, Copy)]
enum Order {
    LastFirst,
    FirstFirst,
    Random,
}

pub(super) fn workloads() -> Vec<Workload> {
    vec![
        Workload::new("batch/lifo", "a recursion that unwinds", |bench| {
            batch(bench, Order::LastFirst);
        })
        .full_only(),
        Workload::new("batch/fifo", "a queue that is worked off", |bench| {
            batch(bench, Order::FirstFirst);
        }),
        Workload::new("batch/random", "a graph taken apart in any order", |bench| {
            batch(bench, Order::Random);
        }),
        Workload::new(
            "batch/mixed",
            "a long-running program: 100,000 live blocks of power-law sizes, replaced at random",
            mixed,
        ),
        Workload::new(
            "batch/over-aligned",
            "buffers for vector units, cache lines and direct input and output",
            over_aligned,
        ),
    ]
}

fn batch(bench: &mut Bench, order: Order) {
    let mut random = fastrand::Rng::with_seed(bench.seed());
    let mut sizes = Sizes::power_law(&mut random, 16, 1024);
    let mut victims: Vec<usize> = (0..BATCH).collect();
    match order {
        Order::FirstFirst => {}
        Order::LastFirst => victims.reverse(),
        Order::Random => random.shuffle(&mut victims),
    }
    let mut blocks: Vec<Option<Block>> = (0..BATCH).map(|_| None).collect();
    bench.rounds(BATCH as u64, || {
        for block in &mut blocks {
            *block = Some(Block::new(sizes.next()));
        }
        for &victim in &victims {
            blocks[victim] = None;
        }
    });
}

fn mixed(bench: &mut Bench) {
    const REPLACED: usize = 10_000;
    let mut random = fastrand::Rng::with_seed(bench.seed());
    let mut sizes = Sizes::power_law(&mut random, 8, 64 << 10);
    let mut slots: Vec<Block> = (0..SLOTS).map(|_| Block::new(sizes.next())).collect();
    bench.rounds(REPLACED as u64, || {
        for _ in 0..REPLACED {
            slots[random.usize(..SLOTS)] = Block::new(sizes.next());
        }
    });
    black_box(&slots);
}

fn over_aligned(bench: &mut Bench) {
    const LIVE: usize = 1000;
    const ALIGNMENTS: [usize; 4] = [32, 64, 128, 4096];
    let mut random = fastrand::Rng::with_seed(bench.seed());
    let mut sizes = Sizes::power_law(&mut random, 32, 16 << 10);
    let mut slots: Vec<Option<Block>> = (0..LIVE).map(|_| None).collect();
    bench.rounds(LIVE as u64, || {
        for (index, slot) in slots.iter_mut().enumerate() {
            *slot = Some(Block::aligned(sizes.next(), ALIGNMENTS[index % 4]));
        }
    });
    black_box(&slots);
}
