//! A minute of simulated service: waves of blocks of different sizes, with
//! survivors that outlive many waves.

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
