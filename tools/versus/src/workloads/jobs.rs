//! Jobs on the thread pools that Rust programs use, and a cache they share.

use std::collections::BTreeMap;
use std::hint::black_box;

use moka::sync::Cache;
use rayon::prelude::*;

use super::sizes::Sizes;
use super::{Workload, text};
use crate::bench::Bench;

pub(super) fn workloads() -> Vec<Workload> {
    vec![
        Workload::new(
            "threads/rayon",
            "rayon: lines of text cut into words, counted and sorted in parallel",
            words,
        )
        .on_threads(),
        Workload::new(
            "threads/tokio",
            "tokio: a task for each request, which makes a buffer and hands it back by channel",
            requests,
        )
        .on_threads(),
        Workload::new(
            "threads/moka",
            "moka: a concurrent cache with String keys that is full, so that each miss evicts",
            cache,
        )
        .on_threads(),
    ]
}

fn words(bench: &mut Bench) {
    let mut random = fastrand::Rng::with_seed(bench.seed());
    let lines: Vec<String> = (0..2000).map(|_| text::words(&mut random, 12)).collect();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(bench.threads())
        .build()
        .expect("the threads can be started");
    pool.install(|| {
        bench.rounds(lines.len() as u64, || {
            let mut words: Vec<String> =
                lines.par_iter().flat_map_iter(|line| line.split(' ').map(str::to_uppercase)).collect();
            words.par_sort_unstable();
            let counts = words
                .par_iter()
                .fold(BTreeMap::<String, u64>::new, |mut counts, word| {
                    *counts.entry(word.clone()).or_default() += 1;
                    counts
                })
                .reduce(BTreeMap::new, |mut all, counts| {
                    for (word, count) in counts {
                        *all.entry(word).or_default() += count;
                    }
                    all
                });
            black_box((words, counts));
        });
    });
}

fn requests(bench: &mut Bench) {
    const REQUESTS: usize = 1000;
    let mut random = fastrand::Rng::with_seed(bench.seed());
    let mut sizes = Sizes::power_law(&mut random, 64, 16 << 10);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(bench.threads())
        .build()
        .expect("the threads can be started");
    bench.rounds(REQUESTS as u64, || {
        let answered = runtime.block_on(async {
            let (sender, mut receiver) = tokio::sync::mpsc::channel::<Vec<u8>>(64);
            for _ in 0..REQUESTS {
                let (sender, size) = (sender.clone(), sizes.next());
                tokio::spawn(async move {
                    let header = format!("length: {size}");
                    let mut body = vec![b'x'; size];
                    body.extend_from_slice(header.as_bytes());
                    // The receiver leaves only after the last sender.
                    let _ = sender.send(body).await;
                });
            }
            drop(sender);
            let mut answered = 0;
            while let Some(body) = receiver.recv().await {
                answered += body.len();
            }
            answered
        });
        black_box(answered);
    });
}

fn cache(bench: &mut Bench) {
    const CAPACITY: u64 = 10_000;
    const KEYS: u32 = 40_000;
    const CALLS: usize = 500;
    let cache: Cache<String, String> = Cache::new(CAPACITY);
    bench.crew(CALLS as u64, |mut worker| {
        let mut sizes = Sizes::power_law(&mut worker.random, 16, 2048);
        worker.measured(|worker| {
            for _ in 0..worker.rounds as usize * CALLS {
                // The product of two draws: some keys are asked for often.
                let key =
                    worker.random.u32(..KEYS) as u64 * worker.random.u32(..KEYS) as u64 / u64::from(KEYS);
                let key = format!("user:{key}");
                if cache.get(&key).is_none() {
                    cache.insert(key, "v".repeat(sizes.next()));
                }
            }
        });
    });
}
