//! Memory of which little is written costs what is written, beside whatever else the program has
//! filled.

mod common;

use std::alloc::{alloc, dealloc, realloc};
use std::fs;
use std::ops::Range;
use std::thread;

use common::block::layout;
use common::memory::{page_bytes, resident};
use common::{GIB, KIB, MIB, child, maps};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

/// Pages of a block that are resident when one of them is written: the seal at the end of a block
/// of a slab is another, and is looked at from the next block.
const PAGES_EACH: usize = if cfg!(feature = "secure") { 3 } else { 1 };

fn test_name() -> String {
    thread::current().name().expect("a test has a name").to_owned()
}

/// Ranges of addresses that the kernel is advised to back by huge pages.
fn advised() -> Vec<Range<usize>> {
    let text = fs::read_to_string("/proc/self/smaps").expect("Linux has /proc");
    let mut range = 0..0;
    let mut found = Vec::new();
    for line in text.lines() {
        let bounds = line.split(' ').next().and_then(|range| range.split_once('-'));
        let number = |text| usize::from_str_radix(text, 16).ok();
        if let Some((Some(start), Some(end))) = bounds.map(|(start, end)| (number(start), number(end))) {
            range = start..end;
        }
        if line.strip_prefix("VmFlags:").is_some_and(|flags| flags.contains(" hg")) {
            found.push(range.clone());
        }
    }
    found
}

#[test]
fn buffers_of_which_a_page_is_written() {
    child::succeeds(&test_name(), || {
        const MANY: usize = 2_000;
        let layout = layout(256 * KIB, 1);
        // Filled memory, so that the program is one for which huge pages are asked.
        let filler: Vec<_> = (0..96 * MIB / KIB).map(|_| Box::new([1_u8; KIB])).collect();
        let mut buffers = Vec::with_capacity(MANY);
        let before = resident();
        buffers.extend((0..MANY).map(|_| {
            // SAFETY: the size is not zero.
            let start = unsafe { alloc(layout) };
            assert!(!start.is_null());
            // SAFETY: the block is longer.
            unsafe { start.write_bytes(1, 1000) };
            start
        }));
        let cost = resident() - before;
        let advised = advised();
        let inside = |start: &&*mut u8| advised.iter().any(|range| range.contains(&start.addr()));
        assert_eq!(buffers.iter().filter(inside).count(), 0, "buffers where huge pages are asked for");
        assert!(cost * 10 < MANY * PAGES_EACH * page_bytes() * 13, "{} KiB", cost / KIB);
        drop(filler);
    });
}

/// A block of `from` bytes, grown by doubling until it has `to`, and the first byte in every `step`
/// of what is new written.
fn grow(mut start: *mut u8, from: usize, to: usize, step: usize) -> *mut u8 {
    let mut bytes = from;
    while bytes < to {
        // SAFETY: the block is live, and has this layout.
        start = unsafe { realloc(start, layout(bytes, 8), bytes * 2) };
        assert!(!start.is_null());
        for at in (bytes..bytes * 2).step_by(step) {
            // SAFETY: inside the block.
            unsafe { start.add(at).write(1) };
        }
        bytes *= 2;
    }
    start
}

/// A block of a MiB, so written.
fn begin(step: usize) -> *mut u8 {
    // SAFETY: the size is not zero.
    let start = unsafe { alloc(layout(MIB, 8)) };
    assert!(!start.is_null());
    for at in (0..MIB).step_by(step) {
        // SAFETY: inside the block.
        unsafe { start.add(at).write(1) };
    }
    start
}

#[test]
fn a_table_that_grows_and_is_written_here_and_there() {
    child::succeeds(&test_name(), || {
        let start = grow(begin(MIB), MIB, GIB, MIB);
        let cost = maps::resident(start, GIB);
        assert!(cost < GIB / MIB * page_bytes() * 13 / 10, "{} KiB", cost / KIB);
        // SAFETY: the block is live, and has this layout.
        unsafe { dealloc(start, layout(GIB, 8)) };
    });
}

#[test]
fn a_table_that_grows_step_by_step_before_it_is_written() {
    child::succeeds(&test_name(), || {
        const FILLED: usize = 8 * MIB;
        const LENGTH: usize = 256 * MIB;
        let mut start = grow(begin(1024), MIB, FILLED, 1024);
        for bytes in (FILLED..LENGTH).step_by(MIB) {
            // SAFETY: the block is live, and has this layout.
            start = unsafe { realloc(start, layout(bytes, 8), bytes + MIB) };
            assert!(!start.is_null());
        }
        for at in (FILLED..LENGTH).step_by(MIB) {
            // SAFETY: inside the block.
            unsafe { start.add(at).write(1) };
        }
        let cost = maps::resident(start, LENGTH);
        assert!(cost < 2 * FILLED + LENGTH / MIB * page_bytes(), "{} KiB", cost / KIB);
        // SAFETY: the block is live, and has this layout.
        unsafe { dealloc(start, layout(LENGTH, 8)) };
    });
}

#[test]
fn a_table_that_was_filled_at_first() {
    child::succeeds(&test_name(), || {
        const FILLED: usize = 32 * MIB;
        let start = grow(begin(1024), MIB, FILLED, 1024);
        let start = grow(start, FILLED, GIB, MIB);
        // What it grew by when it was last full may have huge pages: it was going to be filled, by
        // all that could be seen.
        let cost = maps::resident(start, GIB);
        assert!(cost < 2 * FILLED + 4 * MIB, "{} KiB", cost / KIB);
        // SAFETY: the block is live, and has this layout.
        unsafe { dealloc(start, layout(GIB, 8)) };
    });
}
