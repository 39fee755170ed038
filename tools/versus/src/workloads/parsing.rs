//! Real code on real text: parsers, a document tree, an index.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::hint::black_box;
use std::thread;

use fastrand::Rng;

use super::{Workload, text};
use crate::bench::Bench;

pub(super) fn workloads() -> Vec<Workload> {
    vec![
        Workload::new("real/json", "serde_json: a 2 MiB document parsed into values and dropped", json),
        Workload::new("real/syn", "syn: Rust sources parsed into syntax trees and dropped", rust),
        Workload::new("real/html", "scraper: a 512 KiB page built into a document tree and dropped", html),
        Workload::new(
            "real/index",
            "a search engine's indexer: each thread indexes its share of a text, the shares are merged",
            index,
        )
        .on_threads(),
    ]
}

fn json(bench: &mut Bench) {
    let document = text::json(&mut Rng::with_seed(bench.seed()), 2 << 20);
    bench.rounds(document.len() as u64, || {
        let value: serde_json::Value = serde_json::from_str(&document).expect("the document is legal");
        black_box(&value);
    });
}

fn rust(bench: &mut Bench) {
    let sources = text::rust_sources();
    let bytes: usize = sources.iter().map(String::len).sum();
    bench.rounds(bytes as u64, || {
        let trees: Vec<syn::File> =
            sources.iter().filter_map(|source| syn::parse_file(source).ok()).collect();
        black_box(&trees);
    });
}

fn html(bench: &mut Bench) {
    let page = text::html(&mut Rng::with_seed(bench.seed()), 512 << 10);
    bench.rounds(page.len() as u64, || {
        black_box(&scraper::Html::parse_document(&page));
    });
}

/// Where a word stands: line and column.
type Places = Vec<(u32, u32)>;

fn index(bench: &mut Bench) {
    let mut random = Rng::with_seed(bench.seed());
    let lines: Vec<String> = (0..8000).map(|_| text::words(&mut random, 12)).collect();
    let share = lines.len().div_ceil(bench.threads());
    bench.rounds(lines.len() as u64, || {
        let index = thread::scope(|scope| {
            let workers: Vec<_> = lines
                .chunks(share)
                .enumerate()
                .map(|(part, lines)| scope.spawn(move || index_part(part * share, lines)))
                .collect();
            let mut index: BTreeMap<String, Places> = BTreeMap::new();
            for worker in workers {
                for (word, places) in worker.join().expect("no worker panics") {
                    index.entry(word).or_default().extend(places);
                }
            }
            index
        });
        black_box(&index);
    });
}

/// The index of some of the lines, the first of which has the number `first`.
fn index_part(first: usize, lines: &[String]) -> HashMap<String, Places, BuildHasherDefault<DefaultHasher>> {
    let mut index: HashMap<_, Places, _> = HashMap::default();
    for (number, line) in lines.iter().enumerate() {
        for (column, word) in line.split(' ').enumerate() {
            index.entry(word.to_lowercase()).or_default().push(((first + number) as u32, column as u32));
        }
    }
    index
}
