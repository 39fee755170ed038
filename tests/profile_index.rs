//! The profile of the `index` example's index attributes its live bytes to the functions that
//! allocated them, at least 95 in a hundred.

#[path = "../examples/index/inverted.rs"]
#[expect(dead_code, reason = "the example also searches its index")]
mod inverted;
#[path = "../examples/index/plan.rs"]
#[expect(dead_code, reason = "the example hands its plan to another process")]
mod plan;
mod profile_support;

use std::fs;
use std::num::NonZero;

use freestone::profile;
use indicatif::ProgressBar;
use inverted::Index;
use plan::Entry;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

const FILES: usize = 16;
/// Distinct words, all of them in every file, so many times each.
const WORDS: usize = 5_000;
const TIMES: usize = 32;
/// Of a word: the size of a block.
const LETTERS: usize = 24;
/// More samples than by default, so that chance has little to say: some 10,000 of positions.
const INTERVAL_BYTES: usize = 1 << 10;

/// Bytes that `index_text` allocates and that live on: each word, and for each file its positions,
/// a vector that has doubled to just their number.
const TEXT_BYTES: usize = WORDS * LETTERS + FILES * WORDS * TIMES * size_of::<u32>();

fn main() {
    let directory = tempfile::tempdir().expect("a directory");
    let text: String = (0..WORDS).map(|word| format!("{word:0LETTERS$}\n")).collect();
    let plan: Vec<Entry> = (0..FILES)
        .map(|file| {
            let path = directory.path().join(file.to_string());
            fs::write(&path, text.repeat(TIMES)).expect("written");
            Entry { path, bytes: (text.len() * TIMES) as u64 }
        })
        .collect();

    let progress = ProgressBar::hidden();
    freestone::purge();
    let before = freestone::stats().allocated;
    profile::start(INTERVAL_BYTES);
    let index =
        Index::build(&plan, NonZero::new(2).expect("not zero"), &progress).expect("the files are readable");
    profile::stop();
    // What ended threads have freed for each other arrives.
    freestone::purge();
    let live = freestone::stats().allocated - before;
    let said = profile_support::now();
    assert_eq!(index.distinct_words(), WORDS as u64);

    // Nothing else allocates what stays but `merge`: lists of postings, and the tree.
    let mut right = 0;
    for (function, is) in [("inverted::index_text", TEXT_BYTES), ("inverted::merge", live - TEXT_BYTES)] {
        let claimed = said.at(function);
        println!("{function}: {claimed} of {is} bytes");
        assert!(claimed.abs_diff(is) * 10 < is, "{function}: {claimed} of {is} bytes");
        right += claimed.min(is);
    }
    println!("{right} of {live} live bytes are at the right functions, {} said to live", said.live);
    assert!(right * 100 > live * 95, "{right} of {live} live bytes are at the right functions");
    assert!(said.live * 100 < live * 105, "{} said to live, {live} do", said.live);
}
