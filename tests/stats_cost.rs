//! Statistics and purges by the clock do not cost by what is live: where nothing has changed, they
//! are as much work in a process with much memory as in one with little.

mod common;

use std::hint::black_box;

use common::cost::cost;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

const BLOCK: usize = 1000;
/// 200 MB, or 3,300 slabs, of which a page is touched each.
const BLOCKS: usize = 200_000;

fn of_stats() -> u64 {
    cost(|| {
        black_box(freestone::stats());
    })
}

fn of_purge() -> u64 {
    // Everything that there is to give back is given back.
    freestone::purge();
    freestone::purge();
    cost(|| {
        black_box(freestone::purge());
    })
}

#[test]
fn is_not_by_what_is_live() {
    let mut live: Vec<Box<[u8; BLOCK]>> = Vec::with_capacity(BLOCKS);
    live.extend((0..1000).map(|_| Box::new([1; BLOCK])));
    let (purge_before, stats_before) = (of_purge(), of_stats());
    live.extend((1000..BLOCKS).map(|_| Box::new([1; BLOCK])));
    let (purge, stats) = (of_purge(), of_stats());
    // The walk of its chunks: fifty looks, where there were a thousand times as many blocks.
    assert!(stats < 8 * stats_before, "stats() cost {stats_before}, and {stats} with 200 MB live");
    assert!(purge < 8 * purge_before, "purge() cost {purge_before}, and {purge} with 200 MB live");
    // Slabs with room are looked at by statistics, not by purges.
    let mut index = 0;
    live.retain(|_| {
        index += 1;
        index % 5 != 0
    });
    let purge = of_purge();
    assert!(purge < 8 * purge_before, "purge() cost {purge_before}, and {purge} with room in each slab");
}
