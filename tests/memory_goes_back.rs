//! A program that has freed everything is as small as one that never allocated it: by what the
//! kernel says is resident, and by what its control group is charged, with huge pages and without.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Barrier};
use std::time::Duration;
use std::{env, fs, thread};

use common::child::said;
use common::seed::random;
use common::{GIB, KIB, MIB};
use freestone::{Piece, UnitPicture};
use rand::RngExt;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

const INSIDE: &str = "TEST_INSIDE";
const THREADS: usize = 4;
const BYTES: usize = 2 * GIB;
/// What the program may keep, and what each thread that is still alive may.
const SLACK: usize = 512 * KIB;
/// The kernel charges a group for 64 pages a processor ahead, and for page cache.
const CHARGE_SLACK: usize = 4 * MIB;

/// What the kernel said once everything was free, then again 15 seconds later.
#[derive(Clone, Copy, Debug)]
struct Figures {
    resident: usize,
    charged: usize,
    resident_later: usize,
    charged_later: usize,
}

/// The program under test, in its own process. Its figures go to standard error.
#[test]
fn inside() {
    let Ok(mode) = env::var(INSIDE) else { return };
    let (allocates, leaves_some) = (mode.contains("with"), mode.contains("some"));
    let patience = if mode.contains("later") { 15 } else { 0 };
    let (filled, freed, done) = (
        Arc::new(Barrier::new(THREADS)),
        Arc::new(Barrier::new(THREADS + 1)),
        Arc::new(Barrier::new(THREADS + 1)),
    );
    let threads: Vec<_> = (0..THREADS)
        .map(|stream| {
            let (filled, freed, done) = (filled.clone(), freed.clone(), done.clone());
            thread::spawn(move || {
                let blocks = match (allocates, leaves_some) {
                    (false, _) => Vec::new(),
                    (true, false) => fill(stream as u64),
                    (true, true) => vec![vec![1_u8; 8 * KIB]; BYTES / THREADS / (8 * KIB)],
                };
                filled.wait();
                // One block in 64 keeps one slab in eight, evenly spread.
                let left: Vec<_> = blocks.into_iter().step_by(64).filter(|_| leaves_some).collect();
                freed.wait();
                done.wait();
                drop(left);
            })
        })
        .collect();
    freed.wait();
    rest();
    if allocates && !leaves_some {
        assert_eq!(empty_chunks(), 0, "a chunk that nobody uses keeps nothing, its header neither");
    }
    let charge =
        || env::var("TEST_GROUP").map_or(0, |group| read_number(&Path::new(&group).join(usage_file())));
    let resident = || freestone::stats().with_resident().resident.expect("the kernel says so");
    let (first, charged) = (resident(), charge());
    thread::sleep(Duration::from_secs(patience));
    eprintln!("figures {first} {charged} {} {}", resident(), charge());
    done.wait();
    threads.into_iter().for_each(|thread| thread.join().expect("no thread fails"));
}

/// Gives back what is free: one call.
#[cfg(not(feature = "background-purge"))]
fn rest() {
    freestone::purge();
}

/// Gives back what is free: nothing but idleness. A second is what it takes; a busy machine may take
/// longer, as long as there is less resident every second.
#[cfg(feature = "background-purge")]
fn rest() {
    let resident = || freestone::stats().with_resident().resident.expect("the kernel says so");
    let mut before = usize::MAX;
    while resident() < before {
        before = resident();
        thread::sleep(Duration::from_secs(1));
        eprintln!("{before} bytes resident, a second later {}", resident());
    }
}

/// Chunks in which no slab is: mapped, with a header at least.
fn empty_chunks() -> usize {
    let mut empty = 0;
    freestone::heap_map(|piece| {
        if let Piece::Chunk(chunk) = piece {
            empty += usize::from(!chunk.units().iter().any(|unit| matches!(unit, UnitPicture::Slab(_))));
        }
    });
    empty
}

/// Blocks of 64 bytes to 64 KiB, every magnitude alike, all touched.
fn fill(stream: u64) -> Vec<Vec<u8>> {
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

fn usage_file() -> &'static str {
    if Path::new("/sys/fs/cgroup/memory").exists() { "memory.usage_in_bytes" } else { "memory.current" }
}

fn read_number(path: &Path) -> usize {
    fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// A control group of its own, where one can be made.
struct Group(PathBuf);

impl Group {
    fn new(name: &str) -> Option<Self> {
        let root = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"]
            .map(Path::new)
            .into_iter()
            .find(|path| path.exists())?;
        let group = root.join(format!("freestone-{name}-{}", std::process::id()));
        fs::create_dir(&group).ok()?;
        let group = Self(group);
        group.0.join(usage_file()).exists().then_some(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

fn figures(mode: &str, huge_pages: &str) -> Figures {
    let group = Group::new(&mode.replace(' ', "-"));
    let script = match &group {
        Some(group) => {
            format!("echo $$ > {}/cgroup.procs && exec \"$0\" --exact inside --nocapture", group.0.display())
        }
        None => "exec \"$0\" --exact inside --nocapture".to_owned(),
    };
    let mut command = Command::new("sh");
    command.args(["-c", &script]).arg(env::current_exe().expect("a test knows where it is"));
    command.env(INSIDE, mode).env("FREESTONE_HUGE_PAGES", huge_pages);
    if let Some(group) = &group {
        command.env("TEST_GROUP", &group.0);
    }
    let output = command.output().expect("a shell");
    let said = said(&output);
    assert!(output.status.success(), "{said}");
    println!("{said}");
    let line = said.lines().find_map(|line| line.split_once("figures ")).expect("figures").1;
    let numbers: Vec<usize> = line.split(' ').map(|number| number.parse().expect("a number")).collect();
    let &[resident, charged, resident_later, charged_later] = numbers.as_slice() else { panic!("{line}") };
    Figures { resident, charged, resident_later, charged_later }
}

fn goes_back(huge_pages: &str, mode: &str, most: usize) {
    if env::var_os(INSIDE).is_some() {
        return;
    }
    let _alone = common::alone();
    let without = figures(mode, huge_pages);
    let with = figures(&format!("with {mode}"), huge_pages);
    println!("huge pages {huge_pages}, {mode}: {without:?} without, {with:?} with");
    for (with, without, most) in [
        (with.resident, without.resident, most),
        (with.resident_later, without.resident_later, most),
        (with.charged, without.charged, most + CHARGE_SLACK),
        (with.charged_later, without.charged_later, most + CHARGE_SLACK),
    ] {
        assert!(with < without + most, "{with} bytes, {without} without allocations");
    }
}

const ALL: usize = SLACK + THREADS * SLACK;
/// Where one slab in eight is left: those, what holds the list of the rest, and a little. With a seal, the
/// blocks need longer slabs, of which nearly one in four is left.
const SOME: usize = BYTES / if cfg!(feature = "secure") { 3 } else { 8 } + 64 * MIB;

#[test]
fn of_small_pages() {
    goes_back("never", "", ALL);
}

#[test]
fn of_adaptive_huge_pages() {
    goes_back("adaptive", "", ALL);
}

#[test]
fn of_huge_pages() {
    goes_back("always", "", ALL);
}

/// Huge pages of which a part is still used.
#[test]
fn of_parts_of_huge_pages() {
    goes_back("adaptive", "some", SOME);
}

#[test]
#[ignore = "a minute of waiting"]
fn and_stays_away() {
    goes_back("adaptive", "later", ALL);
    goes_back("adaptive", "some later", SOME);
}
