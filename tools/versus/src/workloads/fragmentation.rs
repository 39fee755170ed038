//! Few blocks that outlive many: a minute of simulated service, waves of blocks of
//! different sizes with survivors; and a churn of which one block in a hundred stays.

use std::collections::VecDeque;
use std::thread;
use std::time::{Duration, Instant};

use super::{Judged, Workload};
use crate::bench::Bench;
use crate::bench::block::Block;
use crate::task::Resident;

/// Length of the service in simulated seconds.
const SECONDS: u64 = 60;

/// Bytes of a wave: few enough that a peer is idle most of the time, since all of
/// them run side by side.
const WAVE: usize = 8 << 20;

/// One in so many blocks survives its wave.
const SURVIVES: usize = 10;

/// Simulated seconds after which survivors are freed.
const OLD_AGE: usize = 12;

/// Threads that leave survivors, what each of them allocates, and how much of it lives at a time.
const THREADS: u64 = 4;
const CHURNED: usize = 512 << 20;
const LIVE: usize = 64 << 20;

/// One in so many blocks of the churn stays.
const STAYS: usize = 100;

/// The sizes of the waves, smallest and largest, taken in turn.
const KINDS: [(usize, usize); 5] =
    [(16, 64), (64, 512), (512, 4096), (4 << 10, 32 << 10), (32 << 10, 512 << 10)];

pub(super) fn workloads() -> Vec<Workload> {
    vec![
        Workload::new(
            "memory/fragmentation",
            "a minute of a service: every second a wave of blocks of another size, one in ten of which stays for 12 seconds",
            service,
        )
        .fixed()
        .judged_by(Judged::Memory),
        Workload::new(
            "memory/survivors",
            "2 GiB of blocks of 64 bytes to 64 KiB through 256 MiB on four threads, all gone but one block in a hundred, of any age",
            survivors,
        )
        .fixed()
        .judged_by(Judged::Memory),
    ]
}

fn service(bench: &mut Bench) {
    let mut random = fastrand::Rng::with_seed(bench.seed());
    let second = Duration::from_millis(bench.second_ms());
    let mut generations: VecDeque<Vec<Block>> = VecDeque::new();
    let mut moments = Vec::with_capacity(SECONDS as usize);
    bench.once(SECONDS, || {
        let begin = Instant::now();
        for now in 0..SECONDS {
            let (smallest, largest) = KINDS[now as usize % KINDS.len()];
            let mut wave = Vec::new();
            let mut bytes = 0;
            while bytes < WAVE {
                let block = Block::new(random.usize(smallest..=largest));
                bytes += block.size();
                wave.push(block);
            }
            random.shuffle(&mut wave);
            wave.truncate(wave.len() / SURVIVES);
            wave.shrink_to_fit();
            generations.push_back(wave);
            if generations.len() > OLD_AGE {
                generations.pop_front();
            }
            let live = generations.iter().flatten().map(Block::size).sum();
            let due = second * (now as u32 + 1);
            thread::sleep(due.saturating_sub(begin.elapsed()));
            moments.push(Resident::now(now, live));
        }
    });
    bench.service(moments);
}

/// What stays is never freed: what is read when the workload has ended is what it costs.
fn survivors(bench: &mut Bench) {
    let seed = bench.seed();
    let held: usize = bench.once(THREADS, || {
        thread::scope(|scope| {
            let crew: Vec<_> = (0..THREADS).map(|number| scope.spawn(move || churn(seed + number))).collect();
            crew.into_iter().map(|thread| thread.join().expect("no thread fails")).sum()
        })
    });
    bench.held(held);
}

/// Replaces random blocks by new ones and leaves one in a hundred behind. Returns their bytes.
fn churn(seed: u64) -> usize {
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut churned, mut live, mut stayed) = (0, 0, 0);
    let mut blocks: Vec<Block> = Vec::new();
    for number in 1.. {
        // Every magnitude alike.
        let most = 64 << random.u32(0..=10);
        let block = Block::new(random.usize(64..=most));
        churned += block.size();
        if number % STAYS == 0 {
            stayed += block.size();
            std::mem::forget(block);
        } else {
            live += block.size();
            blocks.push(block);
        }
        while live > LIVE {
            live -= blocks.swap_remove(random.usize(..blocks.len())).size();
        }
        if churned > CHURNED {
            break;
        }
    }
    stayed
}
