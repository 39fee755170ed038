//! A file heap several times as long as its process may have memory: the kernel writes pages out and
//! reads them again.

mod common;
mod heap_support;

use std::fs;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use common::{child, memory};
use freestone::heaps::Options;
use heap_support::{KIB, MIB, layout};

/// What the process may have.
const MEMORY: usize = 64 * MIB;
/// What it allocates and fills.
const HEAP: usize = 4 * MEMORY;
const BLOCK: usize = 8 * KIB;
/// Blocks looked at out of their order.
const SAMPLES: usize = 200;

/// A control group of the memory controller, of version 1 or 2, with room for [`MEMORY`].
struct Group(PathBuf);

impl Group {
    /// None where the system lets nobody make one.
    fn new() -> Option<Self> {
        let name = format!("freestone-test-{}", std::process::id());
        let kinds = [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];
        kinds.into_iter().find_map(|(root, limit)| {
            let folder = Path::new(root).join(&name);
            fs::create_dir(&folder).ok()?;
            let group = Self(folder);
            let joined = fs::write(group.0.join(limit), MEMORY.to_string())
                .and_then(|()| fs::write(group.0.join("cgroup.procs"), std::process::id().to_string()));
            joined.is_ok().then_some(group)
        })
    }

    fn leave(self) {
        if let Some(above) = self.0.parent() {
            let _ = fs::write(above.join("cgroup.procs"), std::process::id().to_string());
        }
        let _ = fs::remove_dir(&self.0);
    }
}

fn limit_data() {
    let limit = libc::rlimit { rlim_cur: MEMORY as u64, rlim_max: MEMORY as u64 };
    // SAFETY: the structure is readable for the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_DATA, &raw const limit) }, 0);
}

#[test]
fn four_times_the_memory() {
    child::succeeds("four_times_the_memory", || {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder on a disk");
        let group = Group::new();
        if group.is_none() {
            limit_data();
        }
        let heap = Options::new().limit(2 * HEAP).file(folder.path().join("heap")).expect("a heap");
        let count = HEAP / BLOCK;
        let started = Instant::now();
        let blocks: Vec<NonNull<u64>> = (0..count)
            .map(|number| {
                let block: NonNull<u64> = heap.allocate(layout(BLOCK, 8)).expect("memory").cast();
                for at in 0..BLOCK / 8 {
                    // SAFETY: inside a new block.
                    unsafe { block.add(at).write((number ^ at) as u64) };
                }
                block
            })
            .collect();
        let filled = started.elapsed();
        let check = |number: usize| {
            for at in (0..BLOCK / 8).step_by(63) {
                // SAFETY: inside a block that was filled.
                assert_eq!(unsafe { blocks[number].add(at).read() }, (number ^ at) as u64);
            }
        };
        let started = Instant::now();
        (0..count).for_each(check);
        let read = started.elapsed();
        // Some, far from the order in which they were written.
        let started = Instant::now();
        (0..SAMPLES).for_each(|step| check(step * 7919 % count));
        let random = started.elapsed();
        let rate = |time: Duration| HEAP as f64 / MIB as f64 / time.as_secs_f64();
        eprintln!(
            "{} MiB under {} MiB ({}): filled at {:.0} MiB/s, read at {:.0} MiB/s, {:.1?} a block at random, {} MiB resident",
            HEAP / MIB,
            MEMORY / MIB,
            if group.is_some() { "control group" } else { "RLIMIT_DATA" },
            rate(filled),
            rate(read),
            random / SAMPLES as u32,
            memory::resident() / MIB
        );
        if group.is_some() {
            assert!(memory::resident() < 2 * MEMORY, "{} resident", memory::resident());
        }
        for block in blocks {
            // SAFETY: allocated so, and not used any more.
            unsafe { heap.deallocate(block.cast(), layout(BLOCK, 8)) };
        }
        assert_eq!(heap.stats().live, 0);
        drop(heap);
        if let Some(group) = group {
            group.leave();
        }
        drop(folder);
    });
}
