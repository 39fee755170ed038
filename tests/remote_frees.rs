//! Blocks that are freed by another thread than the one that made them come back to be reused:
//! producers and consumers run in flat memory.

mod common;

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use common::block::{Block, layout};
use common::memory::resident;
use common::seed::random;
use common::{KIB, MIB, alone};
use rand::RngExt;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

/// Blocks on their way at once, a channel.
const ON_THE_WAY: usize = 256;
/// What may be added to the memory of a warm process: batches and slabs in other places.
const SLACK: usize = 16 * MIB;

fn produce(stream: u64, blocks: usize, send: &[SyncSender<Block>]) {
    let mut random = random(stream);
    for tag in 0..blocks {
        let most = if tag % 16 == 0 { 20 * KIB } else { 300 };
        let block = Block::new(layout(random.random_range(1..=most), 1 << random.random_range(0..5)), tag);
        send[tag % send.len()].send(block).expect("consumers outlive producers");
    }
}

/// Every producer sends to every consumer; each `Block` checks its contents when it is dropped.
fn pass(producers: usize, consumers: usize, blocks: usize, consume: fn(Receiver<Block>)) {
    let (send, receive): (Vec<_>, Vec<_>) = (0..consumers).map(|_| sync_channel(ON_THE_WAY)).unzip();
    let consumers: Vec<_> =
        receive.into_iter().map(|blocks| thread::spawn(move || consume(blocks))).collect();
    let producers: Vec<_> = (0..producers as u64)
        .map(|stream| {
            let send = send.clone();
            thread::spawn(move || produce(stream, blocks, &send))
        })
        .collect();
    drop(send);
    producers.into_iter().chain(consumers).for_each(|thread| thread.join().expect("no thread fails"));
}

fn one_by_one(blocks: Receiver<Block>) {
    blocks.into_iter().for_each(drop);
}

/// Many of a slab's blocks at once, last first.
fn in_batches(blocks: Receiver<Block>) {
    loop {
        let mut batch: Vec<Block> = blocks.iter().take(100).collect();
        if batch.is_empty() {
            return;
        }
        while batch.pop().is_some() {}
    }
}

/// Passing many blocks takes no more memory than passing some.
fn stays_flat(producers: usize, consumers: usize, consume: fn(Receiver<Block>)) {
    let _alone = alone();
    pass(producers, consumers, 10_000, consume);
    let before = resident();
    pass(producers, consumers, 100_000 / producers, consume);
    let after = resident();
    assert!(after < before + SLACK, "{before} bytes resident before, {after} after");
}

#[test]
fn one_to_one() {
    stays_flat(1, 1, one_by_one);
}

#[test]
fn many_to_one() {
    stays_flat(3, 1, in_batches);
}

#[test]
fn one_to_many() {
    stays_flat(1, 3, one_by_one);
}

#[test]
fn many_to_many() {
    stays_flat(3, 3, in_batches);
}

/// Two threads free each other's blocks all the time, so that both are owner and stranger.
#[test]
fn ping_pong() {
    let _alone = alone();
    let (to_other, from_one) = sync_channel::<Vec<Block>>(4);
    let (to_one, from_other) = sync_channel::<Vec<Block>>(4);
    let rounds = 400;
    let make =
        |round: usize| (0..50).map(|tag| Block::new(layout(1 + (round * 37 + tag) % 3000, 1), tag)).collect();
    let other = thread::spawn(move || {
        for blocks in from_one {
            let mine = make(blocks.len());
            drop(blocks);
            if to_one.send(mine).is_err() {
                return;
            }
        }
    });
    let mut warm = 0;
    for round in 0..rounds {
        to_other.send(make(round)).expect("the other thread listens");
        drop(from_other.recv().expect("the other thread answers"));
        if round == rounds / 4 {
            warm = resident();
        }
    }
    drop(to_other);
    other.join().expect("no thread fails");
    let after = resident();
    assert!(after < warm + SLACK, "{warm} bytes resident when warm, {after} at the end");
}
