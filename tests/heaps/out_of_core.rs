//! A file heap several times as long as its process may have memory: the kernel writes pages out
//! and reads them again.

use std::ptr::NonNull;
use std::time::{Duration, Instant};

use freestone::heaps::Options;

use crate::common::block::layout;
use crate::common::child::Child;
use crate::common::group::Group;
use crate::common::skip::skip;
use crate::common::{KIB, MIB, memory};

/// What the process may have.
const MEMORY: usize = 64 * MIB;
/// What it allocates and fills.
const HEAP: usize = 4 * MEMORY;
const BLOCK: usize = 8 * KIB;
/// Blocks looked at out of their order.
const SAMPLES: usize = 200;

#[test]
fn four_times_the_memory() {
    let Some(child) = Child::new(0, fill_and_look) else { return };
    let Some(group) = Group::limited("out-of-core", MEMORY) else {
        skip!("no control group with a memory limit can be made")
    };
    let said = child.in_group(group.folder()).succeeds();
    eprint!("{said}");
}

fn fill_and_look() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder on a disk");
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
        "{} MiB under {} MiB: filled at {:.0} MiB/s, read at {:.0} MiB/s, {:.1?} a block at random, {} MiB resident",
        HEAP / MIB,
        MEMORY / MIB,
        rate(filled),
        rate(read),
        random / SAMPLES as u32,
        memory::resident() / MIB
    );
    assert!(memory::resident() < 2 * MEMORY, "{} resident", memory::resident());
    for block in blocks {
        // SAFETY: allocated so, and not used any more.
        unsafe { heap.deallocate(block.cast(), layout(BLOCK, 8)) };
    }
    assert_eq!(heap.stats().expect("the lock").live, 0);
}
