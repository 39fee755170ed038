//! Random operations of several threads that hand blocks over to each other: no block overlaps
//! a live one of any thread, none is misaligned, and none loses its contents.

mod common;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use common::block::Block;
use common::seed::random;
use common::shadow::{Operation, Ranges, Shadow};
use rand::{Rng, RngExt};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

const THREADS: usize = 4;
/// Each generation's threads are new, so that slabs also change hands when threads end.
const GENERATIONS: usize = 8;
const OPERATIONS: usize = 5_000;
const ENOUGH: usize = 200;

/// What one thread does: its own operations, and now and then a block given or taken.
fn work(
    mut shadow: Shadow,
    stream: u64,
    peers: &[Sender<Block>],
    inbox: Receiver<Block>,
) -> (Shadow, Receiver<Block>) {
    let mut random = random(stream);
    for _ in 0..OPERATIONS {
        match random.random_range(0..10) {
            0 => {
                if let Some(block) = shadow.take(random.next_u64() as usize) {
                    let peer = &peers[random.random_range(0..peers.len())];
                    peer.send(block).expect("receivers outlive the threads");
                }
            }
            1..3 => inbox.try_iter().take(3).for_each(|block| shadow.put(block)),
            _ => shadow.apply(Operation::random(&mut random, shadow.live(), ENOUGH)),
        }
    }
    (shadow, inbox)
}

#[test]
fn random_operations_and_hand_over() {
    let ranges = Arc::new(Ranges::default());
    let (peers, mut inboxes): (Vec<_>, Vec<_>) = (0..THREADS).map(|_| channel()).unzip();
    // Blocks outlive the threads that made them: the next generation goes on with them.
    let mut shadows: Vec<Shadow> =
        (0..THREADS).map(|thread| Shadow::new(ranges.clone(), thread << 40)).collect();
    for generation in 0..GENERATIONS {
        let threads: Vec<_> = shadows
            .drain(..)
            .zip(inboxes.drain(..))
            .enumerate()
            .map(|(thread, (shadow, inbox))| {
                let peers = peers.clone();
                let stream = (generation * THREADS + thread) as u64;
                thread::spawn(move || work(shadow, stream, &peers, inbox))
            })
            .collect();
        (shadows, inboxes) =
            threads.into_iter().map(|thread| thread.join().expect("no thread fails")).unzip();
    }
    shadows.iter_mut().for_each(Shadow::free_all);
}
