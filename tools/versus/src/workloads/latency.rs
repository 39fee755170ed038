//! Times of single calls under load.

use std::hint::black_box;

use super::server::{KEPT, Table};
use super::sizes::Sizes;
use super::{Judged, Workload};
use crate::bench::Bench;
use crate::bench::block::Block;
use crate::bench::latency::{histogram, timed};

/// Calls in a round: an allocation and a free each.
const CALLS: usize = 1000;

/// Every so many blocks go to another thread.
const SHARED_EVERY: usize = 4;

pub(super) fn workloads() -> Vec<Workload> {
    vec![
        Workload::new(
            "latency/calls",
            "a server that must answer in time: each allocation and each free timed by itself, sizes up to 64 KiB",
            calls,
        )
        .on_threads()
        .judged_by(Judged::Tail),
    ]
}

fn calls(bench: &mut Bench) {
    let table = Table::new(KEPT * bench.threads());
    let histograms = bench.crew(2 * CALLS as u64, |mut worker| {
        let mut times = histogram();
        let mut sizes = Sizes::power_law(&mut worker.random, 16, 64 << 10);
        let mut kept: Vec<Block> = (0..KEPT).map(|_| Block::new(sizes.next())).collect();
        worker.measured(|worker| {
            for turn in 0..worker.rounds as usize * CALLS {
                let size = sizes.next();
                let mut block = timed(&mut times, || Block::new(size));
                let old = if turn % SHARED_EVERY == 0 {
                    table.exchange(&mut worker.random, block)
                } else {
                    let place = &mut kept[worker.random.usize(..KEPT)];
                    std::mem::swap(place, &mut block);
                    Some(block)
                };
                timed(&mut times, || drop(old));
            }
        });
        black_box(kept);
        times
    });
    for times in histograms {
        bench.latencies(times);
    }
}
