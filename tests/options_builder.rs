//! What a program writes down is in force: those builders that no other file tests. The others are
//! in `tests/option_*.rs` and `tests/memory_limit_*.rs`.

mod common;

use std::alloc::{alloc, dealloc};
use std::hint;

use common::block::{Block, layout};
use common::child::{Child, DONE};
use common::memory::has_huge_pages;
use common::report::announce;
use common::skip;
use common::smaps::Mapping;
use freestone::{Freestone, HugePagePolicy, OnMisuse};

#[global_allocator]
static ALLOC: Freestone = Freestone::new()
    .huge_pages(HugePagePolicy::Never)
    .on_misuse(OnMisuse::Report)
    .show_stats(true)
    .verbose(true);

#[test]
fn huge_pages() {
    if !has_huge_pages() {
        skip!("the kernel has no transparent huge pages");
    }
    let block = Block::new(layout(100, 1), 0);
    assert!(Mapping::of(block.address() as *const u8).has("nh"));
}

#[test]
fn misuse_is_reported_and_survived() {
    let child = Child::new(0, || {
        // SAFETY: the first free is; the second is the misuse that is to be caught.
        unsafe {
            let block = announce(hint::black_box(alloc(layout(64, 8))));
            dealloc(block, layout(64, 8));
            dealloc(block, layout(64, 8));
        }
        // Nothing was done of what was asked for: no block is handed out twice.
        let blocks: Vec<_> = (0..5_000).map(|tag| Block::new(layout(64, 8), tag)).collect();
        blocks.iter().for_each(Block::check);
    });
    if let Some(child) = child {
        let said = child.succeeds();
        // What is in force comes first, statistics do not: the job ends without handlers.
        let address = said.lines().find(|line| line.starts_with("0x")).expect(&said);
        assert!(said.ends_with(&format!("{address}\nfreestone: double free at {address}\n")), "{said}");
    }
}

#[test]
fn says_what_is_in_force_at_the_start_and_shows_statistics_at_the_end() {
    if let Some(child) = Child::new(0, || std::process::exit(DONE)) {
        let said = child.succeeds();
        let first = said.find("freestone: FREESTONE_HUGE_PAGES=never\n").expect(&said);
        let last = said.rfind("committed").expect(&said);
        assert!(first < last && said.contains("freestone: FREESTONE_ON_MISUSE=report\n"), "{said}");
    }
}
