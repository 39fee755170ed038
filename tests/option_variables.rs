//! Each variable has the effect of its builder: seen in a child with it, and not in one without.
//! `VERBOSE` and `SHOW_STATS` are in `tests/options_environment.rs`, `PROFILE` in
//! `tests/profile_at_exit.rs`.

mod common;

use std::alloc::{alloc, dealloc};
use std::hint;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::block::{Block, layout};
use common::child::Child;
use common::memory::{has_huge_pages, resident};
use common::report::{announce, dies_of};
use common::smaps::Mapping;
use common::{KIB, MIB, skip};
use freestone::{Freestone, stats};

#[global_allocator]
static ALLOC: Freestone = Freestone::new().on_soft_limit(called).purge_delay(std::time::Duration::MAX);

static CALLS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn called(_: usize) {
    CALLS.fetch_add(1, Ordering::Relaxed);
}

/// The kernel's flags of a mapping with a small block in it.
fn has_flag(flag: &str) -> bool {
    let block = Block::new(layout(100, 1), 0);
    Mapping::of(hint::black_box(block.address()) as *const u8).has(flag)
}

fn dirty() -> usize {
    drop((0..8 * MIB / KIB).map(|tag| Block::new(layout(KIB, 1), tag)).collect::<Vec<_>>());
    stats().dirty
}

fn retained() -> usize {
    drop((0..8).map(|tag| Block::new(layout(3 * MIB, 1), tag)).collect::<Vec<_>>());
    stats().retained
}

fn untouched_and_resident() -> usize {
    let before = resident();
    let blocks: Vec<Vec<u8>> = (0..32).map(|_| hint::black_box(Vec::with_capacity(900 * KIB))).collect();
    let after = resident();
    drop(blocks);
    after.saturating_sub(before)
}

fn had_of_64_mib() -> usize {
    Block::try_new(layout(64 * MIB, 1), 0).map_or(0, |block| block.size())
}

fn soft_limit_passed() -> usize {
    drop(Block::new(layout(64 * MIB, 1), 0));
    CALLS.load(Ordering::Relaxed)
}

fn advice_for_a_large_block() -> usize {
    let made = || stats().calls().iter().find(|call| call.name == "madvise").expect("counted").made;
    let before = made();
    let _block = Block::new(layout(3 * MIB, 1), 0);
    usize::try_from(made() - before).expect("few")
}

/// A block that is freed twice. Where it was.
fn misuse() -> *mut u8 {
    // SAFETY: the first free is; the second is the misuse that is to be caught.
    unsafe {
        let block = announce(hint::black_box(alloc(layout(64, 8))));
        dealloc(block, layout(64, 8));
        dealloc(block, layout(64, 8));
        block
    }
}

/// What `look` sees in a process with that variable.
fn seen(case: &str, look: fn() -> usize, variable: Option<(&str, &str)>) -> Option<usize> {
    let said = Child::new(case, || eprintln!("{}", look()))?.envs(variable).succeeds();
    Some(said.trim_end().parse().unwrap_or_else(|_| panic!("{case} says a number and nothing else:\n{said}")))
}

/// What is seen without the variable, and with it. None in the processes where it is looked at.
fn both(look: fn() -> usize, variable: &str, value: &str) -> Option<(usize, usize)> {
    let without = seen("without", look, None);
    let with = seen("with", look, Some((variable, value)));
    let pair = without.zip(with)?;
    println!("{variable}={value}: {pair:?}");
    Some(pair)
}

#[test]
fn purge_delay_ms() {
    let Some((without, with)) = both(dirty, "FREESTONE_PURGE_DELAY_MS", "0") else { return };
    assert!(without > 6 * MIB && with < MIB, "{without} and {with} bytes");
}

#[test]
fn retained_bytes() {
    let Some((without, with)) = both(retained, "FREESTONE_RETAINED_BYTES", "10M") else { return };
    assert!(without >= 24 * MIB, "{without} bytes");
    assert!((6 * MIB..=10 * MIB).contains(&with), "{with} bytes");
}

/// Of a switch: it is off without the variable, and on with it.
fn switches(look: fn() -> usize, variable: &str, value: &str) {
    if let Some(pair) = both(look, variable, value) {
        assert_eq!(pair, (0, 1), "{variable}");
    }
}

#[test]
fn huge_pages() {
    if !has_huge_pages() {
        skip!("the kernel has no transparent huge pages");
    }
    switches(|| usize::from(has_flag("nh")), "FREESTONE_HUGE_PAGES", "never");
}

#[test]
fn populate() {
    let Some((without, with)) = both(untouched_and_resident, "FREESTONE_POPULATE", "1") else { return };
    assert!(without < 4 * MIB && with > 24 * MIB, "{without} and {with} bytes");
}

#[test]
fn memory_limit() {
    let Some(pair) = both(had_of_64_mib, "FREESTONE_MEMORY_LIMIT", "32M") else { return };
    assert_eq!(pair, (64 * MIB, 0));
}

#[test]
fn soft_memory_limit() {
    switches(soft_limit_passed, "FREESTONE_SOFT_MEMORY_LIMIT", "32M");
}

#[test]
fn lock_in_memory() {
    switches(|| usize::from(has_flag("lo")), "FREESTONE_LOCK_IN_MEMORY", "1");
}

#[test]
fn no_reserve() {
    switches(|| usize::from(has_flag("nr")), "FREESTONE_NO_RESERVE", "1");
}

#[test]
fn guard_pages() {
    // A kernel that has no marks is asked once a block.
    let Some((without, with)) = both(advice_for_a_large_block, "FREESTONE_GUARD_PAGES", "1") else { return };
    let usual = if cfg!(feature = "secure") { 1..=2 } else { 0..=0 };
    assert!(usual.contains(&without) && (1..=2).contains(&with), "{without} {with}");
}

#[test]
fn on_misuse() {
    let job = || _ = misuse();
    let (Some(without), Some(with)) = (Child::new("without", job), Child::new("with", job)) else { return };
    let with = with.env("FREESTONE_ON_MISUSE", "report").succeeds();
    let (address, _) = with.split_once('\n').expect("the announcement");
    assert_eq!(with, format!("{address}\nfreestone: double free at {address}\n"));
    dies_of(without, "without", "double free");
}
