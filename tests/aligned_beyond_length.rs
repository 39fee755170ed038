//! Small blocks of a great alignment: a page each, in few mappings, and blocks like any other
//! otherwise.

mod common;

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, realloc};
use std::{slice, thread};

use common::memory::{page_bytes, resident};
use common::report::{announce, is_reported};
use common::{KIB, MIB, child, maps};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

const BYTES: usize = 64;
/// The least alignment that no slab gives.
const ALIGN: usize = 128 * KIB;

/// Pages of a block that are resident when one of them is written: the seal at the end of a block
/// of a slab is another, and is looked at from the next block.
const PAGES_EACH: usize = if cfg!(feature = "secure") { 3 } else { 1 };

fn layout(bytes: usize, align: usize) -> Layout {
    common::block::layout(bytes, align)
}

/// A block whose bytes are all `tag`.
fn block(layout: Layout, tag: u8) -> *mut u8 {
    // SAFETY: the size is not zero.
    let start = unsafe { alloc(layout) };
    assert!(!start.is_null() && start.addr().is_multiple_of(layout.align()), "{start:p} for {layout:?}");
    // SAFETY: the block is that long.
    unsafe { start.write_bytes(tag, layout.size()) };
    start
}

fn is_all(start: *const u8, bytes: usize, tag: u8) -> bool {
    // SAFETY: the block is live, that long, and was written or is zero.
    unsafe { slice::from_raw_parts(start, bytes) }.iter().all(|byte| *byte == tag)
}

/// Frees every second block, and then the others.
fn free(blocks: &[*mut u8], layout: Layout) {
    for half in [0, 1] {
        for start in blocks.iter().skip(half).step_by(2) {
            // SAFETY: the block is live and has this layout.
            unsafe { dealloc(*start, layout) };
        }
    }
}

fn test_name() -> String {
    thread::current().name().expect("a test has a name").to_owned()
}

#[test]
fn as_many_as_a_process_may_have_mappings_take_tens_of_them() {
    let _alone = common::alone();
    let many = maps::most().min(65_530) + 500;
    let mut blocks = Vec::with_capacity(many);
    let before = maps::count();
    blocks.extend((0..many).map(|tag| block(layout(BYTES, ALIGN), tag as u8)));
    let made = maps::count();
    thread::Builder::new().spawn(|| ()).expect("a thread can start").join().expect("it ends");
    assert!(made < before + 64, "{made} mappings for {many} blocks, {before} before");
    for (tag, start) in blocks.iter().enumerate() {
        assert!(is_all(*start, BYTES, tag as u8), "block {tag} lost what was written");
    }
    free(&blocks, layout(BYTES, ALIGN));
    freestone::purge();
    let after = maps::count();
    assert!(after < before + 64, "{after} mappings afterwards, {before} before");
}

#[test]
fn each_costs_a_page() {
    for align in [32 * KIB, 64 * KIB, 128 * KIB, MIB, 4 * MIB] {
        child_for(align, || {
            const MANY: usize = 10_000;
            let mut blocks = Vec::with_capacity(MANY);
            // So many chunks that further ones might be given huge pages.
            let filler: Vec<_> = (0..48 * MIB / KIB).map(|_| Box::new([1_u8; KIB])).collect();
            let before = resident();
            blocks.extend((0..MANY).map(|tag| block(layout(BYTES, align), tag as u8)));
            let cost = resident() - before;
            assert!(cost * 10 < MANY * PAGES_EACH * page_bytes() * 13, "{} KiB at {align}", cost / KIB);
            free(&blocks, layout(BYTES, align));
            freestone::purge();
            let left = resident().saturating_sub(before);
            assert!(left < MANY * page_bytes() / 10, "{} KiB left at {align}", left / KIB);
            drop(filler);
        });
    }
}

/// Runs `job` in a process of its own, for one of several cases.
fn child_for(case: usize, job: impl FnOnce()) {
    if let Some(output) = child::run(&test_name(), case, job) {
        assert_eq!(output.status.code(), Some(child::DONE), "{case}: {}", child::said(&output));
    }
}

#[test]
fn they_read_as_zero_when_that_is_asked_for() {
    let layout = layout(9 * KIB, ALIGN);
    for _ in 0..200 {
        let blocks = [1, 2, 3].map(|tag| block(layout, tag));
        free(&blocks, layout);
        // SAFETY: the size is not zero.
        let zeroed = unsafe { alloc_zeroed(layout) };
        assert!(!zeroed.is_null() && is_all(zeroed, layout.size(), 0));
        // SAFETY: the block is live and has this layout.
        unsafe { dealloc(zeroed, layout) };
    }
}

#[test]
fn they_grow_and_shrink_with_their_contents_and_their_alignment() {
    let mut sizes = vec![BYTES];
    let mut start = block(layout(BYTES, ALIGN), 7);
    for bytes in [5 * KIB, 100 * KIB, 128 * KIB, 129 * KIB, MIB, 3 * MIB, 200 * KIB, 70_000, 10] {
        let before = *sizes.last().expect("one");
        // SAFETY: the block is live and has this layout.
        start = unsafe { realloc(start, layout(before, ALIGN), bytes) };
        assert!(!start.is_null() && start.addr().is_multiple_of(ALIGN), "{start:p} of {bytes}");
        assert!(is_all(start, before.min(bytes), 7), "{before} to {bytes}");
        // SAFETY: the block is that long.
        unsafe { start.write_bytes(7, bytes) };
        sizes.push(bytes);
    }
    // SAFETY: the block is live and has this layout.
    unsafe { dealloc(start, layout(10, ALIGN)) };
}

#[test]
fn the_books_know_them() {
    child::succeeds(&test_name(), || {
        const MANY: usize = 100;
        let mut blocks = Vec::with_capacity(MANY);
        let before = freestone::stats();
        blocks.extend((0..MANY).map(|tag| block(layout(BYTES, ALIGN), tag as u8)));
        let made = freestone::stats();
        assert_eq!(made.large_count, before.large_count + MANY);
        assert_eq!(made.large, before.large + MANY * page_bytes());
        assert_eq!(made.committed, before.committed + MANY * page_bytes());
        let parts = [made.slabs, made.dirty, made.clean, made.large, made.retained, made.metadata];
        assert_eq!(made.mapped, parts.iter().sum::<usize>());
        free(&blocks, layout(BYTES, ALIGN));
        let freed = freestone::stats();
        assert_eq!((freed.large_count, freed.large), (before.large_count, before.large));
        assert_eq!(freed.committed, before.committed);
        freestone::purge();
        assert!(freestone::stats().mapped <= before.mapped + MIB, "address space goes back too");
    });
}

#[test]
fn they_are_described() {
    let start = block(layout(BYTES, ALIGN), 1);
    let said = freestone::describe(start).to_string();
    assert!(said.contains("large allocation") && said.contains("live"), "{said}");
    // SAFETY: the block is live and has this layout.
    unsafe { dealloc(start, layout(BYTES, ALIGN)) };
}

#[test]
fn a_second_free_is_reported() {
    is_reported(&test_name(), 0, "free of an address that is no allocation", || {
        let others = [1, 2].map(|tag| block(layout(BYTES, ALIGN), tag));
        let start = announce(others[0]);
        // SAFETY: not at all, the second time: this is what is to be reported.
        unsafe {
            dealloc(start, layout(BYTES, ALIGN));
            dealloc(start, layout(BYTES, ALIGN));
        }
    });
}

#[test]
fn threads_and_forked_children_use_them() {
    let layout = layout(BYTES, ALIGN);
    child::succeeds(&test_name(), || {
        let kept: Vec<usize> = (0..100).map(|tag| block(layout, tag).expose_provenance()).collect();
        thread::scope(|scope| {
            for tag in 0..4 {
                scope.spawn(move || {
                    for _ in 0..500 {
                        let blocks = [(); 5].map(|()| block(layout, tag));
                        assert!(blocks.iter().all(|start| is_all(*start, BYTES, tag)));
                        free(&blocks, layout);
                    }
                });
            }
            for _ in 0..20 {
                // SAFETY: the child does nothing but allocate, and ends.
                let child = unsafe { libc::fork() };
                if child == 0 {
                    let blocks = [(); 70].map(|()| block(layout, 9));
                    free(&blocks, layout);
                    for (tag, address) in kept.iter().enumerate() {
                        let start = std::ptr::with_exposed_provenance_mut::<u8>(*address);
                        assert!(is_all(start, BYTES, tag as u8));
                        // SAFETY: the child's image of the block is live and has this layout.
                        unsafe { dealloc(start, layout) };
                    }
                    // SAFETY: no preconditions.
                    unsafe { libc::_exit(0) };
                }
                let mut status = -1;
                // SAFETY: the status is writable for the call.
                assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
                assert_eq!(status, 0, "the child's blocks are whole");
            }
        });
    });
}
