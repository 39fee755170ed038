//! `purge()` may run on any thread at any time, while others allocate and free.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::KIB;
use common::block::{Block, layout};
use common::seed::random;
use common::shadow::{Operation, Ranges, Shadow};
use rand::RngExt;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

const OPERATIONS: usize = 6_000;

/// Empties what it fills again and again, so that whole chunks come and go under the purging.
fn fill_and_empty(stream: u64) {
    let mut random = random(stream);
    let mut shadow = Shadow::new(Arc::new(Ranges::default()), 0);
    for step in 0..OPERATIONS {
        shadow.apply(Operation::random(&mut random, shadow.live(), 60));
        if step % 50 == 0 {
            shadow.free_all();
            let size = random.random_range(1..=300 * KIB);
            drop((0..8).map(|tag| Block::new(layout(size, 1), tag)).collect::<Vec<_>>());
        }
    }
    shadow.free_all();
}

#[test]
fn while_others_work() {
    let done = Arc::new(AtomicBool::new(false));
    let purging: Vec<_> = (0..3)
        .map(|_| {
            let done = done.clone();
            thread::spawn(move || {
                let mut purges = 0;
                while !done.load(Ordering::Relaxed) {
                    freestone::purge();
                    purges += 1;
                }
                purges
            })
        })
        .collect();
    let working: Vec<_> = (0..3).map(|stream| thread::spawn(move || fill_and_empty(stream))).collect();
    working.into_iter().for_each(|thread| thread.join().expect("no thread fails"));
    done.store(true, Ordering::Relaxed);
    let purges: usize = purging.into_iter().map(|thread| thread.join().expect("no thread fails")).sum();
    assert!(purges > 10, "{purges} purges only were meanwhile");
}
