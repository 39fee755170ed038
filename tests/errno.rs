//! A free leaves `errno` alone, whichever way it takes.

mod common;

use std::alloc::{alloc, dealloc};
use std::sync::mpsc::channel;
use std::thread;

use common::block::layout;
use common::{KIB, MIB};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

/// No call sets this one.
const MARK: libc::c_int = 4711;

fn errno() -> *mut libc::c_int {
    // SAFETY: no preconditions; the address is this thread's own.
    unsafe { libc::__errno_location() }
}

/// Frees a block and looks at `errno` at once.
fn free(start: usize, size: usize, align: usize) {
    // SAFETY: the caller hands over a live block of this layout; errno is this thread's own.
    let after = unsafe {
        *errno() = MARK;
        dealloc(std::ptr::with_exposed_provenance_mut(start), layout(size, align));
        *errno()
    };
    assert_eq!(after, MARK, "after the free of {size} bytes aligned to {align}");
}

fn blocks(size: usize, align: usize, count: usize) -> Vec<usize> {
    let layout = layout(size, align);
    // SAFETY: the size is not zero.
    let blocks = (0..count).map(|_| unsafe { alloc(layout) }.expose_provenance()).collect::<Vec<_>>();
    assert!(!blocks.contains(&0), "no memory for {layout:?}");
    blocks
}

/// Enough blocks to empty slabs, fill caches, and reach the kernel.
const KINDS: [(usize, usize, usize); 6] =
    [(24, 8, 9000), (1500, 1, 500), (40 * KIB, 8, 60), (MIB, 8, 12), (3 * MIB, 8, 60), (100, 2 * MIB, 30)];

#[test]
fn kept_by_own_frees() {
    for (size, align, count) in KINDS {
        blocks(size, align, count).into_iter().for_each(|block| free(block, size, align));
    }
}

#[test]
fn kept_by_frees_of_another_thread() {
    for (size, align, count) in KINDS {
        let blocks = blocks(size, align, count);
        thread::spawn(move || blocks.into_iter().for_each(|block| free(block, size, align)))
            .join()
            .expect("errno kept");
    }
}

/// The first call of a thread is a free: its heap is made then.
#[test]
fn kept_by_a_threads_first_call() {
    let (ready, go) = channel::<usize>();
    let [block] = blocks(64, 8, 1)[..] else { unreachable!() };
    let thread = thread::spawn(move || free(go.recv().expect("a block"), 64, 8));
    ready.send(block).expect("the thread waits");
    thread.join().expect("errno kept");
}

#[test]
fn kept_by_purge() {
    blocks(10 * KIB, 8, 2000).into_iter().for_each(|block| free(block, 10 * KIB, 8));
    // SAFETY: errno is this thread's own.
    let after = unsafe {
        *errno() = MARK;
        freestone::purge();
        *errno()
    };
    assert_eq!(after, MARK);
}
