//! The profile says whose a block is, and a group whose blocks are sampled counts every one of
//! them, whoever frees it or resizes it.

mod profile_support;

use std::alloc::{Layout, alloc, dealloc, realloc};
use std::hint::black_box;
use std::thread;

use freestone::groups::Group;
use freestone::profile;
use profile_support::now;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

const MIB: usize = 1 << 20;

#[inline(never)]
fn blocks(bytes: usize) -> Vec<Vec<u8>> {
    let mut blocks = Vec::with_capacity(bytes / 1000);
    blocks.extend((0..bytes / 1000).map(|_| black_box(vec![1; 1000])));
    black_box(blocks)
}

/// Bytes of `blocks(bytes)`, as they are requested.
fn requested(bytes: usize) -> usize {
    bytes / 1000 * (1000 + size_of::<Vec<u8>>())
}

fn main() {
    profile::start(4 << 10);
    // The thread notices.
    drop(black_box(vec![1_u8; 2 * MIB]));
    let (first, second) = (Group::create("first"), Group::create("second"));
    let outside = blocks(8 * MIB);
    let (of_first, of_second) = (first.enter(|| blocks(4 * MIB)), second.enter(|| blocks(2 * MIB)));
    for (group, bytes) in [(&first, 4 * MIB), (&second, 2 * MIB)] {
        let stats = group.stats();
        assert_eq!((stats.requested, stats.blocks), (requested(bytes), bytes / 1000 + 1), "{stats}");
    }
    let said = now();
    for (group, bytes) in [("first", 4 * MIB), ("second", 2 * MIB), ("", 8 * MIB)] {
        let in_group = said.in_group(group, "blocks");
        println!("{group:?}: {in_group} of {bytes}");
        assert!(in_group.abs_diff(bytes) < bytes / 10, "{group:?}: {in_group} of {bytes}");
    }
    let mut drawn = Vec::new();
    profile::flame_graph(&mut drawn).expect("a vector takes everything");
    assert!(String::from_utf8_lossy(&drawn).contains("group second"));
    freed_from_everywhere(&first, &second, of_first, of_second);
    resized_from_outside(&first);
    a_limit_counts_sampled_blocks(&second);
    drop(outside);
}

fn freed_from_everywhere(first: &Group, second: &Group, mut of_first: Vec<Vec<u8>>, of_second: Vec<Vec<u8>>) {
    let half = of_first.split_off(of_first.len() / 2);
    second.enter(|| drop(half));
    thread::scope(|scope| {
        scope.spawn(move || {
            drop(of_first);
            freestone::thread_idle();
        });
    });
    drop(of_second);
    freestone::thread_idle();
    for group in [first, second] {
        let stats = group.stats();
        assert_eq!((stats.requested, stats.allocated, stats.blocks), (0, 0, 0), "{stats}");
    }
    let said = now();
    assert_eq!((said.in_group("first", "blocks"), said.in_group("second", "blocks")), (0, 0));
}

/// Blocks that stay where they are, and grow or shrink by a few bytes.
fn resized_from_outside(group: &Group) {
    let (small, long) = (layout(1001), layout(1010));
    for _ in 0..200 {
        // SAFETY: the size is not zero.
        let start = group.enter(|| unsafe { alloc(small) });
        // SAFETY: the block is live, and has that layout.
        let grown = unsafe { realloc(start, small, long.size()) };
        assert_eq!((start, group.requested()), (grown, long.size()));
        // SAFETY: as above.
        unsafe { dealloc(grown, long) };
        assert_eq!(group.requested(), 0);
    }
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).expect("a valid layout")
}

/// Each sampled block is charged; what is sampled beyond the limit is refused.
fn a_limit_counts_sampled_blocks(group: &Group) {
    group.purge();
    group.limit(MIB);
    let held = group.enter(|| {
        let mut held = Vec::new();
        held.try_reserve_exact(4000).expect("within the limit");
        while let Some(block) = try_block() {
            held.push(block);
        }
        held
    });
    let stats = group.stats();
    assert!(stats.held <= MIB && held.len() > 900, "{} blocks, {stats}", held.len());
    drop(held);
    group.purge();
    assert_eq!(group.held(), 0, "{}", group.stats());
}

fn try_block() -> Option<Vec<u8>> {
    let mut block = Vec::new();
    block.try_reserve_exact(1000).ok()?;
    Some(block)
}
