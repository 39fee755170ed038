//! Sampled blocks are blocks like any other: random operations of several threads under a dense
//! profile, dumps meanwhile, children forked; nothing overlaps, hangs or is lost.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::forked::{WELL, in_child};
use common::seed::random;
use common::shadow::{Operation, Ranges, Shadow};
use freestone::profile;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

#[test]
fn random_operations_with_every_other_block_sampled() {
    profile::start(256);
    let ranges = Arc::new(Ranges::default());
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|stream| {
                let ranges = ranges.clone();
                scope.spawn(move || {
                    let mut shadow = Shadow::new(ranges, stream << 40);
                    let mut random = random(stream as u64);
                    for _ in 0..5_000 {
                        let operation = Operation::random(&mut random, shadow.live(), 200);
                        shadow.apply(operation);
                    }
                    shadow
                })
            })
            .collect();
        scope.spawn(|| {
            // Once at least, however late this thread comes.
            loop {
                let mut packed = Vec::new();
                profile::dump(&mut packed).expect("a vector takes everything");
                assert!(!packed.is_empty());
                freestone::purge();
                if done.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        // Blocks are freed by another thread than their own.
        for worker in workers {
            worker.join().expect("no worker fails").free_all();
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(in_child(|| drop(vec![vec![1_u8; 300]; 1000])), WELL);
}
