//! A block that grows in small steps is seldom moved, and seldom costs a call to the kernel; and so
//! one that shrinks in small steps. Not in the `secure` build, where each byte beyond what is asked
//! for is watched.
#![cfg(not(feature = "secure"))]

mod common;

use std::alloc::{Layout, alloc, dealloc, realloc};

use common::block::layout;
use common::memory::{page_bytes, resident};
use common::{KIB, MIB, alone};
use freestone::{HugePagePolicy, untyped};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new().huge_pages(HugePagePolicy::Never);

/// How a block is resized.
#[derive(Clone, Copy, Debug)]
enum Door {
    Rust,
    Untyped,
}

impl Door {
    fn resize(self, start: *mut u8, have: usize, size: usize) -> *mut u8 {
        let fresh = match self {
            // SAFETY: the block is live with this layout.
            Self::Rust => unsafe { realloc(start, layout(have, 1), size) },
            // SAFETY: the block is live.
            Self::Untyped => unsafe { untyped::reallocate(start, size) },
        };
        assert!(!fresh.is_null());
        fresh
    }
}

fn calls() -> u64 {
    freestone::stats().calls().iter().map(|calls| calls.made).sum()
}

/// What resizing has cost.
struct Cost {
    moves: usize,
    calls: u64,
}

/// Resizes a filled block from `from` to `to` bytes by `step`, with what it holds looked at on the
/// way.
fn resize_by_steps(door: Door, from: usize, to: usize, step: usize) -> Cost {
    let first: Layout = layout(from, 1);
    // SAFETY: the size is not zero, and the block is filled.
    let mut start = unsafe {
        let start = alloc(first);
        start.write_bytes(1, from);
        start
    };
    let (mut have, mut moves, before) = (from, 0, calls());
    while have != to {
        let size = if from < to { (have + step).min(to) } else { have.saturating_sub(step).max(to) };
        let fresh = door.resize(start, have, size);
        moves += usize::from(fresh != start);
        start = fresh;
        // SAFETY: the block has `size` bytes, of which the first `have` were filled.
        unsafe {
            let kept = have.min(size);
            assert_eq!((start.read(), start.add(kept / 2).read(), start.add(kept - 1).read()), (1, 1, 1));
            start.add(kept).write_bytes(1, size - kept);
        }
        have = size;
    }
    let cost = Cost { moves, calls: calls() - before };
    // SAFETY: live with this layout, and given up.
    unsafe { dealloc(start, layout(have, 1)) };
    cost
}

/// Eight classes a doubling, and one copy a class, would be 64.
#[test]
fn a_small_block_is_copied_few_times() {
    let _alone = alone();
    for door in [Door::Rust, Door::Untyped] {
        for step in [64, 512] {
            let cost = resize_by_steps(door, 4 * KIB, MIB, step);
            assert!(cost.moves <= 22, "{door:?}: {} moves by {step} bytes", cost.moves);
        }
    }
}

/// A call for each page would be 7,936.
#[test]
fn a_large_block_grows_with_few_calls() {
    let _alone = alone();
    for door in [Door::Rust, Door::Untyped] {
        for step in [64 * KIB, 4 * KIB, 1000] {
            freestone::purge();
            let before = resident();
            let cost = resize_by_steps(door, MIB + 100, 32 * MIB, step);
            assert!(cost.calls <= 128, "{door:?}: {} calls by {step} bytes", cost.calls);
            let grown = resident().saturating_sub(before);
            assert!(grown <= 36 * MIB, "{door:?}: {grown} bytes are resident");
        }
    }
}

#[test]
fn a_large_block_shrinks_with_few_calls() {
    let _alone = alone();
    for door in [Door::Rust, Door::Untyped] {
        let cost = resize_by_steps(door, 32 * MIB, MIB + 100, 4 * KIB);
        assert!(cost.calls <= 128, "{door:?}: {} calls", cost.calls);
    }
}

/// The room is an eighth at most, and what is cut off by more than that goes back.
#[test]
fn the_room_of_a_large_block_is_bounded() {
    let _alone = alone();
    let mut start = untyped::allocate(2 * MIB);
    let mut size = 2 * MIB;
    while size < 20 * MIB {
        size += 4 * KIB;
        start = Door::Untyped.resize(start, 0, size);
        // SAFETY: the block is live.
        let usable = unsafe { untyped::usable_size(start) };
        assert!(usable >= size && usable <= size + size / 8 + 2 * page_bytes(), "{usable} for {size}");
    }
    for size in [16 * MIB, 9 * MIB, 2 * MIB] {
        start = Door::Untyped.resize(start, 0, size);
        // SAFETY: the block is live.
        let usable = unsafe { untyped::usable_size(start) };
        assert!(usable >= size && usable <= size + 2 * page_bytes(), "{usable} for {size}");
    }
    // SAFETY: live, and given up.
    unsafe { untyped::free(start) };
}

/// What grows by leaps gets what it asks for.
#[test]
fn what_doubles_gets_no_room() {
    let _alone = alone();
    let mut start = untyped::allocate(4 * KIB);
    for size in (13..24).map(|log2| 1_usize << log2) {
        start = Door::Untyped.resize(start, 0, size);
        // SAFETY: the block is live.
        let usable = unsafe { untyped::usable_size(start) };
        assert!(usable >= size && usable <= size + size / 8 + 2 * page_bytes(), "{usable} for {size}");
    }
    // SAFETY: live, and given up.
    unsafe { untyped::free(start) };
}
