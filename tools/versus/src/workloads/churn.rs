//! Long-lived services: a live set of known size, of which random blocks are
//! replaced for ever. The larger the set, the more a replacement costs in cache
//! misses, and the allocator's own come on top.

use std::hint::black_box;

use super::Workload;
use super::sizes::Sizes;
use crate::bench::Bench;
use crate::bench::block::Block;

/// Blocks replaced in a round.
const REPLACED: usize = 10_000;

/// Bytes that are written at the beginning of each block, where blocks are.
const WRITTEN: usize = 64;

pub(super) fn workloads() -> Vec<Workload> {
    let sets = [("10k", 10_000), ("100k", 100_000), ("1m", 1_000_000)];
    let mut workloads = Vec::new();
    for (name, live) in sets {
        workloads.push(
            Workload::new(
                format!("churn/{name}"),
                "a cache or an index: random objects of a live set replaced and written",
                move |bench| churn(bench, live, WRITTEN),
            )
            .on_threads(),
        );
        workloads.push(
            Workload::new(
                format!("churn/{name}-untouched"),
                "the same without a write, so that only the allocator's own misses count",
                move |bench| churn(bench, live, 0),
            )
            .full_only(),
        );
    }
    workloads
}

/// All threads together hold `live` blocks, of each of which the first `written` bytes are written.
fn churn(bench: &mut Bench, live: usize, written: usize) {
    let live = live / bench.threads();
    bench.crew(REPLACED as u64, |mut worker| {
        let mut sizes = Sizes::power_law(&mut worker.random, 16, 4096);
        let mut held: Vec<Option<Block>> =
            (0..live).map(|_| Some(Block::begun(sizes.next(), written))).collect();
        worker.measured(|worker| {
            for _ in 0..worker.rounds as usize * REPLACED {
                let place = &mut held[worker.random.usize(..live)];
                // The old block first: a full set makes room before it takes.
                *place = None;
                *place = Some(Block::begun(sizes.next(), written));
            }
        });
        black_box(held);
    });
}
