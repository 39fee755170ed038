//! Mixed stress: bursts of blocks of which some survive, within a thread and
//! across threads.

use std::hint::black_box;

use super::Workload;
use super::server::Table;
use super::sizes::Sizes;
use crate::bench::Bench;
use crate::bench::block::Block;

/// Blocks made in a burst.
const BURST: usize = 2000;

/// One in so many blocks outlives its burst.
const SURVIVES: usize = 8;

/// One in so many survivors is handed to another thread.
const HANDED: usize = 4;

/// Survivors that a thread keeps.
const KEPT: usize = 2000;

pub(super) fn workloads() -> Vec<Workload> {
    vec![
        Workload::new(
            "threads/stress",
            "bursts of work with survivors: most blocks die young, some stay, some end in another thread",
            bursts,
        )
        .on_threads(),
    ]
}

fn bursts(bench: &mut Bench) {
    let table = Table::new(KEPT);
    bench.crew(BURST as u64, |mut worker| {
        let mut sizes = Sizes::power_law(&mut worker.random, 8, 32 << 10);
        let mut burst: Vec<Block> = Vec::with_capacity(BURST);
        let mut kept: Vec<Block> = (0..KEPT).map(|_| Block::new(sizes.next())).collect();
        worker.measured(|worker| {
            for _ in 0..worker.rounds {
                burst.extend((0..BURST).map(|_| Block::new(sizes.next())));
                worker.random.shuffle(&mut burst);
                for (index, block) in burst.drain(..).enumerate() {
                    if index % (SURVIVES * HANDED) == 0 {
                        drop(table.exchange(&mut worker.random, block));
                    } else if index % SURVIVES == 0 {
                        kept[worker.random.usize(..KEPT)] = block;
                    }
                }
            }
        });
        black_box(kept);
    });
}
