//! What a program writes down is in force: those builders that no other file tests. The others are in
//! `tests/option_*.rs` and `tests/memory_limit_*.rs`.

mod common;

use std::alloc::{alloc, dealloc};
use std::hint;

use common::block::{Block, layout};
use common::child;
use common::smaps::Mapping;
use freestone::{Freestone, HugePages, OnMisuse};

#[global_allocator]
static ALLOC: Freestone =
    Freestone::new().huge_pages(HugePages::Never).on_misuse(OnMisuse::Report).show_stats().verbose();

#[test]
fn huge_pages() {
    if std::path::Path::new("/sys/kernel/mm/transparent_hugepage").exists() {
        let block = Block::new(layout(100, 1), 0);
        assert!(Mapping::of(block.address() as *const u8).has("nh"));
    }
}

#[test]
fn misuse_is_reported_and_survived() {
    let output = child::run("misuse_is_reported_and_survived", 0, || {
        // SAFETY: the first free is; the second is the misuse that is to be caught.
        unsafe {
            let block = hint::black_box(alloc(layout(64, 8)));
            dealloc(block, layout(64, 8));
            dealloc(block, layout(64, 8));
        }
        // Nothing was done of what was asked for: no block is handed out twice.
        let blocks: Vec<_> = (0..5_000).map(|tag| Block::new(layout(64, 8), tag)).collect();
        blocks.iter().for_each(Block::check);
    });
    if let Some(output) = output {
        assert_eq!(output.status.code(), Some(child::DONE), "{}", child::said(&output));
        assert!(child::said(&output).contains("freestone: double free"), "{}", child::said(&output));
    }
}

#[test]
fn says_what_is_in_force_at_the_start_and_shows_statistics_at_the_end() {
    let test = "says_what_is_in_force_at_the_start_and_shows_statistics_at_the_end";
    let output = child::run(test, 0, || std::process::exit(7));
    if let Some(output) = output {
        assert_eq!(output.status.code(), Some(7));
        let said = child::said(&output);
        let first = said.find("freestone: FREESTONE_HUGE_PAGES=never\n").expect(&said);
        let last = said.rfind("committed").expect(&said);
        assert!(first < last && said.contains("freestone: FREESTONE_ON_MISUSE=report\n"), "{said}");
    }
}
