//! `huge_pages`: what the kernel is advised, as smaps shows it.

mod common;

use common::block::{Block, layout};
use common::smaps::Mapping;
use common::{KIB, MIB, child};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

/// The mappings of a first slab, of one after 64 MiB of filled slabs of short blocks, of a large block, and of one
/// that was filled and has grown to 16 MiB.
fn mappings() -> [Mapping; 4] {
    let first = Block::new(layout(100, 1), 0);
    let many: Vec<_> = (0..64 * MIB / KIB).map(|tag| Block::new(layout(KIB, 1), tag)).collect();
    let large = Block::new(layout(3 * MIB, 1), 1);
    let mut grown = Block::new(layout(3 * MIB, 1), 2);
    grown.resize(16 * MIB);
    let last = many.last().expect("many");
    [&first, last, &large, &grown].map(|block| Mapping::of(block.address() as *const u8))
}

fn with(choice: &str, check: impl FnOnce(bool, [Mapping; 4])) {
    if std::env::var("FREESTONE_HUGE_PAGES").as_deref() != Ok(choice) {
        // Children inherit it; a test of its own a process, so nobody else reads the environment.
        // SAFETY: `alone` keeps the other tests of this file from running meanwhile.
        unsafe { std::env::set_var("FREESTONE_HUGE_PAGES", choice) };
    }
    child::succeeds(std::thread::current().name().expect("a test has a name"), || {
        // A kernel without huge pages knows no advice about them.
        let has_them = std::path::Path::new("/sys/kernel/mm/transparent_hugepage").exists();
        check(has_them, mappings());
    });
}

#[test]
fn never() {
    let _alone = common::alone();
    with("never", |kernel_has_them, all| {
        assert!(all.iter().all(|mapping| !mapping.has("hg")), "{all:?}");
        assert!(!kernel_has_them || all.iter().all(|mapping| mapping.has("nh")), "{all:?}");
    });
}

#[test]
fn adaptive() {
    let _alone = common::alone();
    with("adaptive", |kernel_has_them, [first, last, large, grown]| {
        assert!(!first.has("hg") && !first.has("nh") && !large.has("hg"), "{first:?} {large:?}");
        // Where one was dear, no more were asked for, and the books say so.
        let were_dear = freestone::stats().dear_huge_pages_total > 0;
        assert!(!kernel_has_them || were_dear || last.has("hg") && grown.has("hg"), "{last:?} {grown:?}");
    });
}

#[test]
fn always() {
    let _alone = common::alone();
    with("always", |kernel_has_them, all| {
        assert!(!kernel_has_them || all.iter().all(|mapping| mapping.has("hg")), "{all:?}");
    });
}

#[test]
fn after_a_dear_one_small_pages() {
    let _alone = common::alone();
    with("adaptive", |kernel_has_them, _| {
        let mut seen = freestone::stats().dear_huge_pages_total;
        for tag in 0..20 {
            let mut grown = Block::new(layout(4 * MIB, 1), tag);
            grown.resize(32 * MIB);
            let now = freestone::stats().dear_huge_pages_total;
            let was_dear = now > seen;
            seen = now;
            let mapping = Mapping::of(grown.address() as *const u8);
            assert!(!was_dear || mapping.has("nh"), "asked on: {mapping:?}");
            assert!(was_dear || !kernel_has_them || mapping.has("hg") || seen > 0, "{mapping:?}");
            // Else the next would grow into what this one had.
            drop(grown);
            freestone::purge();
        }
    });
}
