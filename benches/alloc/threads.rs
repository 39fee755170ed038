//! Memory that changes hands, and threads that come and go.

use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};

use crate::blocks::{Batch, Block};
use crate::cpus::Pinned;
use crate::side::{Shape, Side, sides};

/// Blocks handed over at a time: so many that the channel's own cost is small against theirs.
const HANDED_OVER: usize = 512;

/// Batches under way, so that neither thread waits for the other at every step.
const IN_FLIGHT: usize = 8;

/// One thread allocates, another one frees: a pipeline of producer and consumer.
pub(crate) fn hand_over(criterion: &mut Criterion) {
    const SIZES: [usize; 4] = [16, 64, 1 << 10, 16 << 10];
    let mut group = criterion.benchmark_group("hand_over");
    group.throughput(Throughput::Elements(HANDED_OVER as u64));
    for shape in SIZES.map(Shape::of) {
        for side in sides() {
            thread::scope(|scope| {
                let (full, to_free) = channel::<Batch>();
                let (freed, empty) = channel::<Batch>();
                scope.spawn(move || consume(to_free, freed));
                let mut producer = Producer::new(side, shape, full, empty);
                group.bench_function(BenchmarkId::new(side.name, shape), |bencher| {
                    bencher.iter_custom(|batches| producer.hand_over(batches));
                });
            });
        }
    }
    group.finish();
}

/// Frees what comes and sends the empty batch back, until the producer is gone.
fn consume(to_free: Receiver<Batch>, freed: Sender<Batch>) {
    let _pinned = Pinned::to(1);
    while let Some(mut batch) = receive(&to_free) {
        batch.free_fifo();
        if freed.send(batch).is_err() {
            break;
        }
    }
}

/// The next batch; none when the other end is gone.
///
/// Never sleeps: to be woken takes the kernel as long as several batches take, and how often it
/// happens is chance.
fn receive(batches: &Receiver<Batch>) -> Option<Batch> {
    loop {
        match batches.try_recv() {
            Ok(batch) => return Some(batch),
            Err(TryRecvError::Empty) => thread::yield_now(),
            Err(TryRecvError::Disconnected) => return None,
        }
    }
}

/// The allocating end. Equation: between two calls all [`IN_FLIGHT`] batches are idle here, without
/// blocks.
struct Producer {
    idle: Vec<Batch>,
    full: Sender<Batch>,
    empty: Receiver<Batch>,
}

impl Producer {
    fn new(side: &'static Side, shape: Shape, full: Sender<Batch>, empty: Receiver<Batch>) -> Self {
        Self { idle: (0..IN_FLIGHT).map(|_| Batch::new(side, shape, HANDED_OVER)).collect(), full, empty }
    }

    /// The time until the last of so many batches has been freed.
    fn hand_over(&mut self, batches: u64) -> Duration {
        const GONE: &str = "the consumer outlives its producer";
        let _pinned = Pinned::to(0);
        let start = Instant::now();
        for _ in 0..batches {
            let mut batch = match self.idle.pop() {
                Some(batch) => batch,
                None => receive(&self.empty).expect(GONE),
            };
            batch.fill();
            self.full.send(batch).expect(GONE);
        }
        while self.idle.len() < IN_FLIGHT {
            self.idle.push(receive(&self.empty).expect(GONE));
        }
        start.elapsed()
    }
}

/// A thread that starts, holds a few dozen blocks and ends: a server with a thread a request.
pub(crate) fn churn(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("thread_churn");
    for side in sides() {
        group.bench_function(BenchmarkId::new(side.name, "frees_its_own"), |bencher| {
            bencher.iter(|| join(thread::spawn(|| drop(request(side)))));
        });
    }
    // The blocks outlive the thread, and are freed by another when it is gone.
    for side in sides() {
        group.bench_function(BenchmarkId::new(side.name, "leaves_behind"), |bencher| {
            bencher.iter(|| drop(join(thread::spawn(|| request(side)))));
        });
    }
    group.finish();
}

/// What one thread allocates: 64 blocks of 16 sizes from 16 bytes to 1 KiB.
fn request(side: &'static Side) -> Vec<Block> {
    (0..64).map(|number| Block::new(side, Shape::of(16 + number % 16 * 64))).collect()
}

fn join<T>(thread: thread::JoinHandle<T>) -> T {
    match thread.join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}
