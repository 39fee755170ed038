//! Whoever looks from outside does so at any moment: statistics, pictures, descriptions and purges
//! run beside threads that map chunks, fill and empty slabs, hand blocks over and end. Under
//! ThreadSanitizer, no race.

mod common;

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use common::{KIB, MIB};
use freestone::inspect::Piece;
use freestone::stats::ThreadStats;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

/// Small, of a page and more, and long ones, of which four are a chunk.
const SIZES: [usize; 4] = [48, 5 * KIB, 100 * KIB, MIB];
const ROUNDS: usize = 30;
/// What the threads hold at most, all together, and what is of them in flight.
const LIMIT: usize = 256 * MIB;

/// Fills and empties slabs of each size, and hands a part of the blocks to the other thread.
fn churn(to: &mpsc::Sender<Vec<Vec<u8>>>, from: &mpsc::Receiver<Vec<Vec<u8>>>) {
    for round in 0..ROUNDS {
        let size = SIZES[round % SIZES.len()];
        let blocks = move || (0..(4 * MIB / size).min(5_000)).map(|_| vec![1; size]).collect::<Vec<_>>();
        to.send(blocks()).expect("the other one waits");
        drop((blocks(), from.recv().expect("the other one sends")));
        // Another thread's heap, given up with blocks in it.
        drop(thread::spawn(move || blocks().pop()).join());
        freestone::thread_idle();
    }
}

#[test]
fn look_while_others_work() {
    let done = AtomicBool::new(false);
    let looks = AtomicUsize::new(0);
    thread::scope(|scope| {
        let (done, looks) = (&done, &looks);
        let look = |look: fn()| {
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    look();
                    looks.fetch_add(1, Ordering::Relaxed);
                    thread::yield_now();
                }
            })
        };
        look(|| {
            let stats = freestone::stats();
            assert!(stats.allocated < LIMIT && stats.in_flight < LIMIT, "{stats}");
        });
        look(|| {
            let mut heaps = [ThreadStats::default(); 16];
            freestone::stats::heap_stats(&mut heaps);
            black_box(heaps);
        });
        look(|| {
            freestone::inspect::heap_map(|piece| {
                if let Piece::Chunk(chunk) = piece {
                    // Any unit: of a slab, free, of one that changes hands meanwhile.
                    for unit in [0, 1, 30, 63] {
                        black_box(freestone::describe(std::ptr::without_provenance::<u8>(
                            chunk.address + (unit << 16),
                        )));
                    }
                }
            })
        });
        look(|| {
            black_box(freestone::purge());
        });
        let (first, second) = (mpsc::channel(), mpsc::channel());
        let working = [
            scope.spawn(move || churn(&first.0, &second.1)),
            scope.spawn(move || churn(&second.0, &first.1)),
        ];
        let ended = working.map(|thread| thread.join());
        done.store(true, Ordering::Relaxed);
        assert!(ended.iter().all(Result::is_ok), "a thread failed");
    });
    assert!(looks.into_inner() > 4, "nobody has looked");
}
