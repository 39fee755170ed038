//! A program that has freed everything is as small as one that never allocated it: by what the
//! kernel says is resident, and by what its control group is charged, with huge pages and without.

mod common;

use std::path::Path;
use std::sync::{Arc, Barrier};
use std::time::Duration;
use std::{env, fs, thread};

use common::child::Child;
use common::group::Group;
use common::seed::random;
use common::{GIB, KIB, MIB, skip};
use freestone::inspect::{Piece, UnitPicture};
use rand::RngExt;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

/// Set in a child, to the file that says what its group is charged.
const CHARGE: &str = "TEST_CHARGE";
/// Set in a child that allocates, to how many bytes may be resident in the end.
const TARGET: &str = "TEST_TARGET";
const THREADS: usize = 4;
const BYTES: usize = 2 * GIB;
/// What the program may keep, and what each thread that is still alive may.
const SLACK: usize = 512 * KIB;
/// The kernel charges a group for 64 pages a processor ahead, and for page cache.
const CHARGE_SLACK: usize = 4 * MIB;
/// How long the second look comes after the first, where there is one.
const LATER: Duration = Duration::from_secs(15);

/// What the kernel said once everything was free, then again later.
#[derive(Clone, Copy, Debug)]
struct Figures {
    resident: usize,
    charged: usize,
    resident_later: usize,
    charged_later: usize,
}

/// What the threads of the program under test allocate.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fill {
    Nothing,
    Everything,
    /// Of which one block in 64 stays: it keeps one slab in eight, evenly spread.
    AllButSome,
}

/// The program under test, in its own process. Its figures go to standard error.
fn program(fill: Fill, patience: Duration) {
    let (filled, freed, done) = (
        Arc::new(Barrier::new(THREADS)),
        Arc::new(Barrier::new(THREADS + 1)),
        Arc::new(Barrier::new(THREADS + 1)),
    );
    let threads: Vec<_> = (0..THREADS)
        .map(|stream| {
            let (filled, freed, done) = (filled.clone(), freed.clone(), done.clone());
            thread::spawn(move || {
                let blocks = match fill {
                    Fill::Nothing => Vec::new(),
                    Fill::Everything => random_blocks(stream as u64),
                    Fill::AllButSome => vec![vec![1_u8; 8 * KIB]; BYTES / THREADS / (8 * KIB)],
                };
                filled.wait();
                let stay = fill == Fill::AllButSome;
                let left: Vec<_> = blocks.into_iter().step_by(64).filter(|_| stay).collect();
                freed.wait();
                done.wait();
                drop(left);
            })
        })
        .collect();
    freed.wait();
    rest(fill);
    if fill == Fill::Everything {
        assert_eq!(empty_chunks(), 0, "a chunk that nobody uses keeps nothing, its header neither");
    }
    let charge = || env::var(CHARGE).map_or(0, |file| read_number(Path::new(&file)));
    let (first, charged) = (resident(), charge());
    thread::sleep(patience);
    eprintln!("figures {first} {charged} {} {}", resident(), charge());
    done.wait();
    threads.into_iter().for_each(|thread| thread.join().expect("no thread fails"));
}

fn resident() -> usize {
    freestone::stats().with_resident().resident.expect("the kernel says so")
}

/// Gives back what is free: one call.
#[cfg(not(feature = "background-purge"))]
fn rest(_: Fill) {
    freestone::purge();
}

/// Gives back what is free: nothing but idleness. A second is what it takes; a busy machine may
/// take longer.
#[cfg(feature = "background-purge")]
fn rest(fill: Fill) {
    const PATIENCE: Duration = Duration::from_secs(60);
    let Ok(target) = env::var(TARGET) else {
        let _ = freestone::purge();
        return;
    };
    let target: usize = target.parse().expect("a number of bytes");
    let started = std::time::Instant::now();
    while resident() >= target || fill == Fill::Everything && empty_chunks() > 0 {
        assert!(started.elapsed() < PATIENCE, "not idle enough? {}", freestone::stats());
        thread::sleep(Duration::from_millis(50));
    }
}

/// Chunks in which no slab is: mapped, with a header at least.
fn empty_chunks() -> usize {
    let mut empty = 0;
    freestone::inspect::heap_map(|piece| {
        if let Piece::Chunk(chunk) = piece {
            empty += usize::from(!chunk.units().iter().any(|unit| matches!(unit, UnitPicture::Slab(_))));
        }
    });
    empty
}

/// Blocks of 64 bytes to 64 KiB, every magnitude alike, all touched.
fn random_blocks(stream: u64) -> Vec<Vec<u8>> {
    let mut random = random(stream);
    let mut left = BYTES / THREADS;
    let mut blocks = Vec::new();
    while left > 0 {
        let most = 64_usize << random.random_range(0..=10);
        let size = random.random_range(64..=most);
        blocks.push(vec![1_u8; size]);
        left = left.saturating_sub(size);
    }
    blocks
}

fn read_number(path: &Path) -> usize {
    let text = fs::read_to_string(path).expect("a group's file can be read");
    text.trim().parse().expect("a number")
}

/// Runs the child, in a control group of its own where one can be made.
fn figures(child: Child, huge_pages: &str, target: Option<usize>) -> Figures {
    let mut child = child.env("FREESTONE_HUGE_PAGES", huge_pages);
    if let Some(target) = target {
        child = child.env(TARGET, target.to_string());
    }
    let group = Group::new("goes-back");
    match &group {
        Some(group) => child = child.in_group(group.folder()).env(CHARGE, group.usage_file()),
        None => skip::note("what a control group is charged: none can be made"),
    }
    let said = child.succeeds();
    println!("{said}");
    let line = said.lines().find_map(|line| line.split_once("figures ")).expect("figures").1;
    let numbers: Vec<usize> = line.split(' ').map(|number| number.parse().expect("a number")).collect();
    let &[resident, charged, resident_later, charged_later] = numbers.as_slice() else { panic!("{line}") };
    assert!(group.is_none() || charged > 0 && charged_later > 0, "the group is charged for nothing: {line}");
    Figures { resident, charged, resident_later, charged_later }
}

fn goes_back(huge_pages: &str, fill: Fill, patience: Duration, most: usize) {
    let nothing = Child::new(format!("nothing, then {fill:?}"), || program(Fill::Nothing, patience));
    let something = Child::new(format!("{fill:?}"), || program(fill, patience));
    let Some((nothing, something)) = nothing.zip(something) else { return };
    let _alone = common::alone();
    let without = figures(nothing, huge_pages, None);
    let with = figures(something, huge_pages, Some(without.resident + most));
    println!("huge pages {huge_pages}, {fill:?}: {without:?} without, {with:?} with");
    for (with, without, most) in [
        (with.resident, without.resident, most),
        (with.resident_later, without.resident_later, most),
        (with.charged, without.charged, most + CHARGE_SLACK),
        (with.charged_later, without.charged_later, most + CHARGE_SLACK),
    ] {
        assert!(with <= without + most, "{with} bytes, {without} without allocations");
    }
}

const ALL: usize = SLACK + THREADS * SLACK;
/// Where one slab in eight is left: those, what holds the list of the rest, and a little. With a
/// seal, the blocks need longer slabs, of which nearly one in four is left.
const SOME: usize = BYTES / if cfg!(feature = "secure") { 3 } else { 8 } + 64 * MIB;

#[test]
fn of_small_pages() {
    goes_back("never", Fill::Everything, Duration::ZERO, ALL);
}

#[test]
fn of_adaptive_huge_pages() {
    goes_back("adaptive", Fill::Everything, Duration::ZERO, ALL);
}

#[test]
fn of_huge_pages() {
    goes_back("always", Fill::Everything, Duration::ZERO, ALL);
}

/// Huge pages of which a part is still used.
#[test]
fn of_parts_of_huge_pages() {
    goes_back("adaptive", Fill::AllButSome, Duration::ZERO, SOME);
}

#[test]
#[ignore = "a minute of waiting"]
fn and_stays_away() {
    goes_back("adaptive", Fill::Everything, LATER, ALL);
    goes_back("adaptive", Fill::AllButSome, LATER, SOME);
}
