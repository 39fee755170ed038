//! Out of memory is a null pointer: live blocks stay as they are, and when there is memory
//! again there is some for every size.

mod common;

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use common::block::{Block, layout};
use common::memory::mapped;
use common::{KIB, LARGEST_SMALL, MIB, border_sizes, child};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

/// Address space that is left to a process once it is limited.
const ROOM: usize = 32 * MIB;
/// Blocks to note at most, made before memory is short: enough for `ROOM` of coarse blocks and
/// a few units of the finest.
const NOTES: usize = 200_000;

fn limit(bytes: libc::rlim_t) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure is writable for the call.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) }, 0);
    limit.rlim_cur = bytes.min(limit.rlim_max);
    // SAFETY: the structure is readable for the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) }, 0);
}

fn leave_room(bytes: usize) {
    // What blocks are filled with is made at the first one.
    drop(Block::new(layout(1, 1), 0));
    limit((mapped() + bytes) as libc::rlim_t);
}

/// Takes blocks of `size` until there are no more, of them or of notes. Whether it was of them.
fn take(blocks: &mut Vec<Block>, size: usize) -> bool {
    while blocks.len() < blocks.capacity()
        && let Some(block) = Block::try_new(layout(size, 1), blocks.len())
    {
        blocks.push(block);
    }
    blocks.len() < blocks.capacity()
}

/// Takes blocks of `size` until there are no more.
fn exhaust(blocks: &mut Vec<Block>, size: usize) {
    assert!(take(blocks, size), "the limit does not limit");
}

/// Coarse blocks first, so that the fine ones are few.
const fn steps(last: usize) -> [usize; 5] {
    [3 * MIB, MIB, 100 * KIB, 9 * KIB, last]
}

/// Takes all that there is.
fn exhaust_all(blocks: &mut Vec<Block>, last: usize) {
    for size in steps(last) {
        exhaust(blocks, size);
    }
}

fn bytes(blocks: &[Block]) -> usize {
    blocks.iter().map(Block::size).sum()
}

/// One size on each side of each border, and large ones.
fn sizes() -> impl Iterator<Item = usize> {
    border_sizes(LARGEST_SMALL).into_iter().step_by(3).chain([MIB + 1, 5 * MIB])
}

fn one_of_each() {
    for size in sizes() {
        drop(Block::try_new(layout(size, 1), 1).unwrap_or_else(|| panic!("no block of {size}")));
        drop(Block::try_zeroed(layout(size, 64), 1).unwrap_or_else(|| panic!("no block of {size}")));
    }
}

/// Memory that one size had used up is there for every other one.
#[test]
fn every_size_recovers_after_frees() {
    child::succeeds("every_size_recovers_after_frees", || {
        let mut blocks = Vec::with_capacity(NOTES);
        leave_room(ROOM);
        for size in sizes() {
            exhaust_all(&mut blocks, size);
            blocks.iter().for_each(Block::check);
            assert!(bytes(&blocks) > ROOM / 2, "{} bytes were had", bytes(&blocks));
            blocks.clear();
            one_of_each();
        }
    });
}

/// What was cut into blocks of one size is had again as blocks of any other.
#[test]
fn all_memory_changes_size() {
    child::succeeds("all_memory_changes_size", || {
        let mut blocks = Vec::with_capacity(4 * NOTES);
        leave_room(ROOM);
        for size in [MIB, 300 * KIB, 5 * MIB, 2 * KIB, 70 * KIB, 200, MIB + 1, 24 * KIB] {
            exhaust(&mut blocks, size);
            assert!(bytes(&blocks) > ROOM / 8 * 5, "only {} bytes as blocks of {size}", bytes(&blocks));
            blocks.clear();
        }
    });
}

#[test]
fn everything_lives_on_when_the_limit_is_lifted() {
    child::succeeds("everything_lives_on_when_the_limit_is_lifted", || {
        let mut blocks = Vec::with_capacity(NOTES);
        leave_room(ROOM);
        exhaust_all(&mut blocks, 16);
        limit(libc::RLIM_INFINITY);
        one_of_each();
        drop(blocks);
        one_of_each();
    });
}

/// Growing fails, and the block is as before; shrinking works, also without any memory left.
#[test]
fn resizing() {
    child::succeeds("resizing", || {
        let mut blocks = Vec::with_capacity(NOTES);
        leave_room(ROOM);
        let sizes = [24, 3 * KIB, 50 * KIB, MIB, 3 * MIB];
        let mut resized: Vec<Block> = sizes.iter().map(|size| Block::new(layout(*size, 1), *size)).collect();
        let mut aligned = Block::new(layout(3 * MIB, 2 * MIB), 7);
        exhaust_all(&mut blocks, 8);
        for block in resized.iter_mut().chain([&mut aligned]) {
            for size in [2 * ROOM, 8 * MIB, block.size() + 4 * MIB] {
                assert!(!block.try_resize(size), "{:?} grew to {size}", block.layout());
            }
            block.check();
        }
        assert!(resized[4].try_resize(2 * MIB), "a mapping can be cut without memory");
        assert!(aligned.try_resize(2 * MIB), "an aligned mapping can be cut without memory");
        blocks.clear();
        for block in resized.iter_mut().chain([&mut aligned]) {
            block.resize(block.size() + 4 * MIB);
            block.resize(100);
        }
    });
}

#[test]
fn several_threads_at_once() {
    child::succeeds("several_threads_at_once", || {
        let barrier = Barrier::new(3);
        let exhausted = AtomicUsize::new(0);
        thread::scope(|scope| {
            for thread in 0..2 {
                let (barrier, exhausted) = (&barrier, &exhausted);
                scope.spawn(move || {
                    let mut blocks = Vec::with_capacity(NOTES);
                    // Threads need address space themselves, so the limit comes after their start.
                    barrier.wait();
                    barrier.wait();
                    for size in
                        [8, 100, 5 * KIB, 100 * KIB, MIB, 3 * MIB].into_iter().cycle().skip(thread).take(8)
                    {
                        for step in steps(size) {
                            // What the other thread gives back meanwhile may be more than there are
                            // notes for.
                            exhausted.fetch_add(usize::from(take(&mut blocks, step)), Ordering::Relaxed);
                        }
                        blocks.iter().for_each(Block::check);
                        blocks.clear();
                    }
                });
            }
            barrier.wait();
            leave_room(ROOM);
            barrier.wait();
        });
        // Of 80 times; where the other thread gives back meanwhile, the notes may end before the
        // memory.
        let exhausted = exhausted.into_inner();
        assert!(exhausted > 40, "memory came to its end {exhausted} times only");
        one_of_each();
    });
}

/// Even address space for a full chunk is not there: less must do.
#[test]
fn in_very_little_room() {
    child::succeeds("in_very_little_room", || {
        let mut blocks = Vec::with_capacity(NOTES);
        drop(blocks.pop());
        freestone::purge();
        for room in [0, 64 * KIB, 300 * KIB, MIB, 3 * MIB] {
            leave_room(room);
            exhaust_all(&mut blocks, 100);
            blocks.clear();
        }
        leave_room(3 * MIB);
        assert!(
            Block::try_new(layout(500 * KIB, 1), 1).is_some(),
            "smaller chunks are made where full ones cannot"
        );
    });
}
