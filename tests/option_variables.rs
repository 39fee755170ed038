//! Each variable has the effect of its builder: seen in a child with it, and not in one without.
//! `VERBOSE` and `SHOW_STATS` are in `tests/options_environment.rs`, `PROFILE` in `tests/profile_at_exit.rs`.

mod common;

use std::alloc::{alloc, dealloc};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, hint};

use common::block::{Block, layout};
use common::child::said;
use common::memory::resident;
use common::smaps::Mapping;
use common::{KIB, MIB};
use freestone::{Freestone, stats};

#[global_allocator]
static ALLOC: Freestone = Freestone::new().on_soft_limit(called).purge_delay_ms(Freestone::NEVER);

static CALLS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn called(_: usize) {
    CALLS.fetch_add(1, Ordering::Relaxed);
}

/// Set in a child, to what it is to look at.
const INSIDE: &str = "TEST_INSIDE";

/// The kernel's flags of a mapping with a small block in it.
fn has_flag(flag: &str) -> bool {
    let block = Block::new(layout(100, 1), 0);
    Mapping::of(hint::black_box(block.address()) as *const u8).has(flag)
}

/// The child: how much there is of what a variable decides.
#[test]
fn inside() {
    let Ok(what) = env::var(INSIDE) else { return };
    let seen = match what.as_str() {
        "dirty" => {
            drop((0..8 * MIB / KIB).map(|tag| Block::new(layout(KIB, 1), tag)).collect::<Vec<_>>());
            stats().dirty
        }
        "retained" => {
            drop((0..8).map(|tag| Block::new(layout(3 * MIB, 1), tag)).collect::<Vec<_>>());
            stats().retained
        }
        "untouched and resident" => {
            let before = resident();
            let blocks: Vec<Vec<u8>> =
                (0..32).map(|_| hint::black_box(Vec::with_capacity(900 * KIB))).collect();
            let after = resident();
            drop(blocks);
            after.saturating_sub(before)
        }
        "had of 64 MiB" => Block::try_new(layout(64 * MIB, 1), 0).map_or(0, |block| block.size()),
        "soft limit passed" => {
            drop(Block::new(layout(64 * MIB, 1), 0));
            CALLS.load(Ordering::Relaxed)
        }
        "guarded" => {
            let made = || stats().calls.iter().find(|call| call.name == "madvise").expect("counted").made;
            let before = made();
            let _block = Block::new(layout(3 * MIB, 1), 0);
            usize::try_from(made() - before).expect("few")
        }
        "no huge pages" => usize::from(has_flag("nh")),
        "locked" => usize::from(has_flag("lo")),
        "not reserved" => usize::from(has_flag("nr")),
        "survived" => {
            // SAFETY: the first free is; the second is the misuse that is to be caught.
            unsafe {
                let block = hint::black_box(alloc(layout(64, 8)));
                dealloc(block, layout(64, 8));
                dealloc(block, layout(64, 8));
            }
            1
        }
        _ => panic!("{what}"),
    };
    eprintln!("seen {seen}");
}

fn run(what: &str, variable: Option<(&str, &str)>) -> Output {
    let mut command = Command::new(env::current_exe().expect("a test knows where it is"));
    command.args(["--exact", "inside", "--nocapture", "--test-threads=1"]).env(INSIDE, what);
    command.envs(variable).output().expect("it runs")
}

fn seen(what: &str, variable: Option<(&str, &str)>) -> usize {
    let output = run(what, variable);
    let said = said(&output);
    assert!(output.status.success(), "{what} with {variable:?}: {}, {said}", output.status);
    let number = said.lines().find_map(|line| line.split_once("seen ")).expect(&said).1;
    number.parse().expect("a number")
}

/// What is seen without the variable, and with it.
fn both(what: &str, variable: &str, value: &str) -> (usize, usize) {
    let pair = (seen(what, None), seen(what, Some((variable, value))));
    println!("{variable}={value}: {what} {pair:?}");
    pair
}

#[test]
fn purge_delay_ms() {
    let (without, with) = both("dirty", "FREESTONE_PURGE_DELAY_MS", "0");
    assert!(without > 6 * MIB && with < MIB, "{without} and {with} bytes");
}

#[test]
fn retained_bytes() {
    let (without, with) = both("retained", "FREESTONE_RETAINED_BYTES", "10M");
    assert!(without >= 24 * MIB, "{without} bytes");
    assert!((6 * MIB..=10 * MIB).contains(&with), "{with} bytes");
}

#[test]
fn huge_pages() {
    if std::path::Path::new("/sys/kernel/mm/transparent_hugepage").exists() {
        assert_eq!(both("no huge pages", "FREESTONE_HUGE_PAGES", "never"), (0, 1));
    }
}

#[test]
fn populate() {
    let (without, with) = both("untouched and resident", "FREESTONE_POPULATE", "1");
    assert!(without < 4 * MIB && with > 24 * MIB, "{without} and {with} bytes");
}

#[test]
fn memory_limit() {
    assert_eq!(both("had of 64 MiB", "FREESTONE_MEMORY_LIMIT", "32M"), (64 * MIB, 0));
}

#[test]
fn soft_memory_limit() {
    assert_eq!(both("soft limit passed", "FREESTONE_SOFT_MEMORY_LIMIT", "32M"), (0, 1));
}

#[test]
fn lock_in_memory() {
    assert_eq!(both("locked", "FREESTONE_LOCK_IN_MEMORY", "1"), (0, 1));
}

#[test]
fn no_reserve() {
    assert_eq!(both("not reserved", "FREESTONE_NO_RESERVE", "1"), (0, 1));
}

#[test]
fn guard_pages() {
    // A kernel that has no marks is asked once a block.
    let (without, with) = both("guarded", "FREESTONE_GUARD_PAGES", "1");
    let usual = if cfg!(feature = "secure") { 1..=2 } else { 0..=0 };
    assert!(usual.contains(&without) && (1..=2).contains(&with), "{without} {with}");
}

#[test]
fn on_misuse() {
    let without = run("survived", None);
    assert_eq!(without.status.signal(), Some(libc::SIGABRT), "{}", said(&without));
    let with = run("survived", Some(("FREESTONE_ON_MISUSE", "report")));
    assert!(with.status.success() && said(&with).contains("seen 1"), "{}", said(&with));
    for output in [without, with] {
        assert!(said(&output).contains("freestone: double free"), "{}", said(&output));
    }
}
