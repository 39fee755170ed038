//! Producers and consumers: no block is freed by the thread that made it.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::Workload;
use super::sizes::Sizes;
use crate::bench::Bench;
use crate::bench::block::Block;

/// Blocks in one parcel: enough that the channel costs little beside them.
const PARCEL: usize = 256;

/// Parcels in a round.
const PARCELS: usize = 16;

/// Parcels that may wait between a producer and its consumer.
const WAITING: usize = 8;

/// What goes over the channel.
type Parcel = Vec<Block>;

/// The end of a channel that a worker holds.
enum End {
    Producer(SyncSender<Parcel>),
    Consumer(Receiver<Parcel>),
}

pub(super) fn workloads() -> Vec<Workload> {
    vec![
        Workload::new(
            "threads/producers",
            "a pipeline: half of the threads make parcels of blocks, the others free them (one thread: it does both)",
            pipeline,
        )
        .on_threads(),
    ]
}

fn pipeline(bench: &mut Bench) {
    let ends: Vec<Mutex<Option<End>>> = (0..bench.threads() / 2)
        .flat_map(|_| {
            let (producer, consumer) = sync_channel(WAITING);
            [End::Producer(producer), End::Consumer(consumer)]
        })
        .map(|end| Mutex::new(Some(end)))
        .collect();
    bench.crew((PARCELS * PARCEL / 2) as u64, |mut worker| {
        let mut sizes = Sizes::power_law(&mut worker.random, 16, 2048);
        let end = ends.get(worker.index).and_then(|end| end.lock().expect("nobody panics here").take());
        let mut parcel = || -> Parcel { (0..PARCEL).map(|_| Block::new(sizes.next())).collect() };
        worker.measured(|worker| match end {
            Some(End::Producer(channel)) => {
                for _ in 0..worker.rounds as usize * PARCELS {
                    // The consumer leaves only after the last parcel.
                    let _ = channel.send(parcel());
                }
            }
            Some(End::Consumer(channel)) => channel.into_iter().for_each(drop),
            // Without a partner, a thread fills the queue and works it off.
            None => {
                for _ in 0..worker.rounds as usize * PARCELS / 2 / WAITING {
                    let queue: Vec<Parcel> = (0..WAITING).map(|_| parcel()).collect();
                    drop(queue);
                }
            }
        });
    });
}
