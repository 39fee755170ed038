//! A server: every thread keeps blocks of its own, and hands some to the others
//! through a table that they share.

use std::hint::black_box;
use std::sync::Mutex;

use fastrand::Rng;

use super::Workload;
use super::sizes::Sizes;
use crate::bench::Bench;
use crate::bench::block::Block;

/// Blocks that a thread keeps, and blocks on the table for each thread.
pub(super) const KEPT: usize = 1000;

/// Blocks replaced in a round.
const REPLACED: usize = 10_000;

/// Every so many replacements go over the table.
const SHARED_EVERY: usize = 4;

/// A table of blocks that any thread may take or leave. A place is locked only
/// for the exchange itself, never while the allocator works.
#[derive(Debug)]
pub(super) struct Table {
    places: Vec<Mutex<Option<Block>>>,
}

impl Table {
    pub(super) fn new(places: usize) -> Self {
        Self { places: (0..places).map(|_| Mutex::new(None)).collect() }
    }

    /// Leaves `block` at a random place and takes what was there.
    pub(super) fn exchange(&self, random: &mut Rng, block: Block) -> Option<Block> {
        let place = &self.places[random.usize(..self.places.len())];
        place.lock().expect("no thread panics at the table").replace(block)
    }
}

pub(super) fn workloads() -> Vec<Workload> {
    vec![
        Workload::new(
            "threads/server",
            "a server whose requests move from thread to thread (larson-like): one block in four is freed by another thread",
            churn,
        )
        .on_threads(),
    ]
}

fn churn(bench: &mut Bench) {
    let table = Table::new(KEPT * bench.threads());
    bench.crew(REPLACED as u64, |mut worker| {
        let mut sizes = Sizes::power_law(&mut worker.random, 16, 4096);
        let mut kept: Vec<Block> = (0..KEPT).map(|_| Block::new(sizes.next())).collect();
        worker.measured(|worker| {
            for turn in 0..worker.rounds as usize * REPLACED {
                let block = Block::new(sizes.next());
                if turn % SHARED_EVERY == 0 {
                    drop(table.exchange(&mut worker.random, block));
                } else {
                    kept[worker.random.usize(..KEPT)] = block;
                }
            }
        });
        black_box(kept);
    });
}
