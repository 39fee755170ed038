//! Ten thousand short threads leave nothing behind: the process does not grow.

mod common;

use std::collections::BTreeMap;
use std::sync::mpsc::channel;
use std::thread;

use common::MIB;
use common::block::{Block, layout};
use common::memory::resident;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

const THREADS: usize = 10_000;
const AT_ONCE: usize = 4;
/// Far less than a page for each thread.
const SLACK: usize = 4 * MIB;

/// Blocks of several classes, some of which the caller is left with.
fn work(tag: usize) -> Block {
    let sizes = [16, 40, 100, 333, 1500, 9000, 70_000];
    let blocks = sizes.map(|size| Block::new(layout(size, 1), tag));
    let map: BTreeMap<usize, String> = (0..50).map(|key| (key, key.to_string())).collect();
    assert_eq!(map.values().map(String::len).sum::<usize>(), 90);
    let [.., kept, _, _] = blocks;
    kept
}

#[test]
fn memory_stays_flat() {
    let (send, receive) = channel();
    let mut warm = 0;
    for started in (0..THREADS).step_by(AT_ONCE) {
        let threads: Vec<_> = (started..started + AT_ONCE)
            .map(|tag| {
                let send = send.clone();
                thread::spawn(move || send.send(work(tag)).expect("this test listens"))
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().expect("no thread fails"));
        receive.try_iter().for_each(drop);
        if started == THREADS / 10 {
            warm = resident();
        }
    }
    let after = resident();
    assert!(after < warm + SLACK, "{warm} bytes resident after a tenth of the threads, {after} after all");
}
