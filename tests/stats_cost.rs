//! Statistics and purges by the clock do not cost by what is live: where nothing has changed, they
//! take as long in a process with much memory as in one with little.

use std::hint::black_box;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

const BLOCK: usize = 1000;
/// 200 MB, or 3,300 slabs, of which a page is touched each.
const BLOCKS: usize = 200_000;
/// What is measured is some microseconds: the least of many, which no other process has disturbed.
const TIMES: usize = 300;

fn least(mut call: impl FnMut()) -> Duration {
    let time = |_| {
        let start = Instant::now();
        call();
        start.elapsed()
    };
    (0..TIMES).map(time).min().expect("some")
}

fn both() -> [Duration; 2] {
    // Everything that there is to give back is given back.
    freestone::purge();
    freestone::purge();
    let stats = least(|| {
        black_box(freestone::stats());
    });
    let purge = least(|| {
        black_box(freestone::purge());
    });
    [stats, purge]
}

#[test]
fn is_not_by_what_is_live() {
    let mut live: Vec<Box<[u8; BLOCK]>> = Vec::with_capacity(BLOCKS);
    live.extend((0..1000).map(|_| Box::new([1; BLOCK])));
    let [stats_before, purge_before] = both();
    live.extend((1000..BLOCKS).map(|_| Box::new([1; BLOCK])));
    let [stats, purge] = both();
    // The walk of its chunks: fifty looks, where there were a thousand times as many blocks.
    assert!(stats < 8 * stats_before, "stats() took {stats_before:?}, and {stats:?} with 200 MB live");
    assert!(purge < 8 * purge_before, "purge() took {purge_before:?}, and {purge:?} with 200 MB live");
    // Slabs with room are looked at by statistics, not by purges.
    let mut index = 0;
    live.retain(|_| {
        index += 1;
        index % 5 != 0
    });
    let [stats_of_room, purge] = both();
    println!("stats {stats_before:?} {stats:?} {stats_of_room:?}, purge {purge_before:?} {purge:?}");
    assert!(purge < 8 * purge_before, "purge() took {purge_before:?}, and {purge:?} with room in each slab");
}
