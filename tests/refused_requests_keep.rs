//! A request that no purge can help purges nothing: a program that asks in vain, over and over,
//! keeps what it would reuse. One that a purge can help gets its memory.

mod common;

use std::alloc::{Layout, alloc, dealloc};
use std::hint::black_box;

use common::memory::mapped;
use common::{GIB, MIB, child};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new().purge_delay(std::time::Duration::MAX);

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).expect("a valid layout")
}

/// Whether there was memory for `size` bytes, which are freed again.
fn is_served(size: usize) -> bool {
    // Else the compiler may leave out both calls.
    // SAFETY: the size is not zero.
    let start = black_box(unsafe { alloc(layout(size)) });
    if !start.is_null() {
        // SAFETY: just allocated.
        unsafe { dealloc(start, layout(size)) }
    }
    !start.is_null()
}

/// Leaves a large range retained and units dirty.
fn leave_something() {
    assert!(is_served(4 * MIB));
    let slabs: Vec<Vec<u8>> = (0..8).map(|_| vec![1; 500 << 10]).collect();
    drop(slabs);
}

fn kept() -> (usize, usize, u64) {
    let stats = freestone::stats();
    (stats.retained, stats.dirty, stats.purges_total)
}

/// Asks ten times for what there can't be.
fn ask_in_vain(size: usize) {
    leave_something();
    let before = kept();
    assert!(before.0 >= 4 * MIB && before.1 >= MIB, "something is kept: {before:?}");
    for _ in 0..10 {
        assert!(!is_served(size));
        assert_eq!(kept(), before, "after a refused request of {size} bytes");
        assert!(is_served(4 * MIB), "what is retained serves the next");
    }
    assert!(freestone::stats().failures_total >= 10);
}

fn limit_address_space(bytes: usize) {
    let limit = libc::rlimit { rlim_cur: bytes as libc::rlim_t, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the limit is readable.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) }, 0);
}

#[test]
fn more_than_an_address_space_has() {
    child::succeeds("more_than_an_address_space_has", || {
        ask_in_vain(1 << 47);
        ask_in_vain(isize::MAX as usize - 4096);
    });
}

#[test]
fn more_than_the_limit_of_address_space() {
    child::succeeds("more_than_the_limit_of_address_space", || {
        leave_something();
        limit_address_space(mapped() + 256 * MIB);
        ask_in_vain(GIB);
    });
}

#[test]
fn more_than_the_memory_limit() {
    // In a child of its own environment: the limit is read once.
    let inside = std::env::var_os("FREESTONE_MEMORY_LIMIT").is_some();
    if !inside {
        let program = std::env::current_exe().expect("a test knows where it is");
        let status = std::process::Command::new(program)
            .args(["--exact", "more_than_the_memory_limit", "--nocapture"])
            .env("FREESTONE_MEMORY_LIMIT", "128M")
            .status()
            .expect("a test can run itself");
        assert_eq!(status.code(), Some(child::DONE));
        return;
    }
    ask_in_vain(200 * MIB);
    // What is live counts as well: no purge gives it back.
    let live: Vec<u8> = Vec::with_capacity(100 * MIB);
    ask_in_vain(100 * MIB);
    drop(live);
    std::process::exit(child::DONE);
}

#[test]
fn what_a_purge_can_help_is_served() {
    child::succeeds("what_a_purge_can_help_is_served", || {
        let ranges: Vec<Vec<u8>> = (0..10).map(|_| Vec::with_capacity(8 * MIB)).collect();
        drop(ranges);
        assert!(freestone::stats().retained >= 64 * MIB);
        limit_address_space(mapped() + 16 * MIB);
        assert!(is_served(60 * MIB), "all that is retained goes for it");
    });
}
