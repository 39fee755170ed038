//! Things that grow as they are filled: what `realloc` is for.

use std::hint::black_box;

use super::Workload;
use super::sizes::Sizes;
use crate::bench::Bench;

const WORD: usize = size_of::<u64>();

pub(super) fn workloads() -> Vec<Workload> {
    vec![
        Workload::new("growth/Vec to 64 MiB", "reading a file of unknown length", |bench| {
            push(bench, 64 << 20)
        })
        .fixed(),
        Workload::new("growth/Vec to 1 GiB", "loading a data set of unknown length", |bench| {
            push(bench, 1 << 30)
        })
        .fixed()
        .full_only(),
        Workload::new("growth/many Vecs", "columns of a table that grow together", many),
        Workload::new("growth/String", "text put together piece by piece", concatenate),
        Workload::new(
            "growth/shrink",
            "buffers filled with room to spare, then cut to what they hold",
            shrink,
        )
        .full_only(),
    ]
}

fn push(bench: &mut Bench, bytes: usize) {
    let words = bytes / WORD;
    let grown = bench.once(words as u64, || {
        let mut grown: Vec<u64> = Vec::new();
        for word in 0..words as u64 {
            grown.push(word);
        }
        grown
    });
    bench.held(bytes);
    drop(grown);
}

fn many(bench: &mut Bench) {
    const COLUMNS: usize = 500;
    const ROWS: u64 = 2000;
    bench.rounds(COLUMNS as u64 * ROWS, || {
        let mut columns: Vec<Vec<u64>> = vec![Vec::new(); COLUMNS];
        for row in 0..ROWS {
            for column in &mut columns {
                column.push(row);
            }
        }
        black_box(&columns);
    });
}

fn concatenate(bench: &mut Bench) {
    const PIECES: u64 = 20_000;
    bench.rounds(PIECES, || {
        let mut page = String::new();
        for piece in 0..PIECES {
            page += &format!("<li id=\"{piece}\">item number {piece}</li>\n");
        }
        black_box(&page);
    });
}

fn shrink(bench: &mut Bench) {
    const BUFFERS: usize = 500;
    let mut random = fastrand::Rng::with_seed(bench.seed());
    let mut sizes = Sizes::power_law(&mut random, 64, 256 << 10);
    bench.rounds(BUFFERS as u64, || {
        let mut kept: Vec<Box<[u8]>> = Vec::with_capacity(BUFFERS);
        for _ in 0..BUFFERS {
            let size = sizes.next();
            let mut buffer = Vec::with_capacity(size * 2);
            buffer.resize(size, 1);
            kept.push(buffer.into_boxed_slice());
        }
        black_box(&kept);
    });
}
