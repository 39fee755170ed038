//! Small blocks of a great alignment under `guard_pages`: guarded, in few mappings.

mod common;

use std::alloc::{Layout, alloc, dealloc};
use std::thread;

use common::memory::page_bytes;
use common::{KIB, child, maps, memory};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new().guard_pages(true);

fn layout() -> Layout {
    common::block::layout(64, 128 * KIB)
}

fn block() -> *mut u8 {
    // SAFETY: the size is not zero.
    let start = unsafe { alloc(layout()) };
    assert!(!start.is_null() && start.addr().is_multiple_of(128 * KIB));
    // SAFETY: the block is a page at least.
    unsafe { start.write_bytes(1, page_bytes()) };
    start
}

/// What is done to one of several blocks ends the process.
fn dies(case: usize, what: impl FnOnce(*mut u8)) {
    let name = thread::current().name().expect("a test has a name").to_owned();
    let output = child::run(&name, case, || {
        let blocks = [(); 3].map(|()| block());
        what(blocks[1]);
    });
    if let Some(output) = output {
        assert_eq!(child::signal(&output), Some(libc::SIGSEGV), "case {case}: {}", child::said(&output));
    }
}

#[test]
fn what_is_before_and_behind_them_cannot_be_touched_nor_can_freed_ones() {
    // SAFETY: not at all: this is what is to be caught.
    unsafe {
        dies(0, |start| start.byte_sub(1).write_volatile(1));
        dies(1, |start| start.byte_add(page_bytes()).write_volatile(1));
        dies(2, |start| {
            dealloc(start, layout());
            start.write_volatile(1);
        });
    }
}

#[test]
fn thousands_take_tens_of_mappings() {
    let mut blocks = Vec::with_capacity(5_000);
    let before = maps::count();
    blocks.extend((0..5_000).map(|_| block()));
    let made = maps::count();
    // Marks in the page tables, since Linux 6.13; before, guards are mappings, and those are
    // bounded.
    let most = if memory::has_guard_marks() { before + 64 } else { maps::most() / 4 };
    assert!(made < most, "{made} mappings, {before} before");
    for start in blocks {
        // SAFETY: the block is live and has this layout.
        unsafe { dealloc(start, layout()) };
    }
}
