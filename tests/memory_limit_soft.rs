//! Above the soft limit what is kept is given back and the callback runs: once a passing, outside
//! every lock, and not again while it runs.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};

use common::block::{Block, layout};
use common::{KIB, MIB};

const SOFT: usize = 32 * MIB;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new()
    .soft_memory_limit(SOFT)
    .on_soft_limit(called)
    .purge_delay(std::time::Duration::MAX);

static CALLS: AtomicUsize = AtomicUsize::new(0);
static COMMITTED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn called(committed: usize) {
    CALLS.fetch_add(1, Ordering::Relaxed);
    COMMITTED.store(committed, Ordering::Relaxed);
    // Allocates above the limit, of every kind, and passes it again: a second call would recurse.
    for size in [100, 100 * KIB, SOFT] {
        drop(Block::new(layout(size, 1), size));
    }
    freestone::purge();
    drop(Block::new(layout(SOFT, 1), 0));
}

fn fill(bytes: usize) -> Vec<Block> {
    (0..bytes / MIB).map(|tag| Block::new(layout(MIB, 1), tag)).collect()
}

#[test]
fn is_told_once_a_passing() {
    // What is only kept is given back first.
    drop(fill(SOFT - 4 * MIB));
    assert_eq!(CALLS.load(Ordering::Relaxed), 0);
    drop(Block::new(layout(20 * MIB, 1), 0));
    assert_eq!(CALLS.load(Ordering::Relaxed), 1, "above, since freed memory was kept");
    let committed = COMMITTED.load(Ordering::Relaxed);
    assert!(committed < SOFT, "{committed} bytes committed after the purge");

    freestone::purge();
    let blocks = fill(SOFT + 8 * MIB);
    assert_eq!(CALLS.load(Ordering::Relaxed), 2);
    let committed = COMMITTED.load(Ordering::Relaxed);
    assert!(committed > SOFT, "{committed} bytes committed when it was told");
    drop(blocks);
}
