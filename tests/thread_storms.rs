//! Very many threads, however they end: every block keeps its contents, and nothing stays behind.
//! The long storms are `--ignored`.

mod common;

use std::alloc::{alloc, dealloc};
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex, PoisonError};
use std::{mem, ptr, thread};

use common::block::{Block, layout};
use common::memory::resident;
use common::{KIB, MIB, child};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

const SIZES: [usize; 9] = [8, 24, 100, 500, 3 * KIB, 9 * KIB, 60 * KIB, 300 * KIB, MIB + 1];
/// What is kept for reuse, and libc's stacks, may differ between two looks.
const SLACK: usize = 12 * MIB;

/// Blocks that their threads left to others.
static LEFT: Mutex<Vec<Block>> = Mutex::new(Vec::new());

fn left() -> Vec<Block> {
    mem::take(&mut LEFT.lock().unwrap_or_else(PoisonError::into_inner))
}

fn spawn(work: impl FnOnce() + Send + 'static) -> thread::JoinHandle<()> {
    // Little stack, since there are many.
    thread::Builder::new().stack_size(64 * KIB).spawn(work).expect("a thread")
}

/// Makes blocks, resizes some, frees some, leaves some.
fn make_and_leave(tag: usize) {
    let sizes = SIZES.into_iter().take(if tag.is_multiple_of(50) { SIZES.len() } else { 6 });
    let mut blocks: Vec<Block> = sizes.map(|size| Block::new(layout(size, 8), tag)).collect();
    blocks.iter_mut().step_by(2).for_each(|block| block.resize(block.size() * 3 / 2));
    let kept = blocks.split_off(blocks.len() / 2);
    LEFT.lock().unwrap_or_else(PoisonError::into_inner).extend(kept);
}

/// Waves of threads, of which every fourth only frees what others left.
fn waves(threads: usize, at_once: usize) {
    let mut warm = 0;
    for first in (0..threads).step_by(at_once) {
        let wave: Vec<_> = (first..first + at_once)
            .map(|tag| if tag % 4 == 3 { spawn(|| drop(left())) } else { spawn(move || make_and_leave(tag)) })
            .collect();
        wave.into_iter().for_each(|thread| thread.join().expect("a thread ends well"));
        if first == threads / 5 / at_once * at_once {
            drop(left());
            freestone::purge();
            warm = resident();
        }
    }
    drop(left());
    freestone::purge();
    let after = resident();
    assert!(after < warm + SLACK, "{warm} bytes resident after a fifth of the threads, {after} after all");
}

#[test]
fn a_thousand_in_waves() {
    child::succeeds("a_thousand_in_waves", || waves(1000, 50));
}

#[test]
#[ignore = "a storm of half a minute"]
fn ten_thousand_in_waves() {
    child::succeeds("ten_thousand_in_waves", || waves(10_000, 100));
}

/// Threads that are all there at the same time, with a heap each.
fn at_once(threads: usize, rounds: usize) {
    let mut warm = 0;
    for round in 0..rounds {
        let barrier = Barrier::new(threads);
        thread::scope(|scope| {
            for tag in 0..threads {
                let barrier = &barrier;
                let work = move || {
                    make_and_leave(tag);
                    barrier.wait();
                    make_and_leave(tag + 1);
                };
                thread::Builder::new().stack_size(64 * KIB).spawn_scoped(scope, work).expect("a thread");
            }
        });
        drop(left());
        freestone::purge();
        if round == 0 {
            warm = resident();
        }
    }
    let after = resident();
    assert!(after < warm + SLACK, "{warm} bytes resident after one round, {after} after all");
}

#[test]
fn a_hundred_at_once() {
    child::succeeds("a_hundred_at_once", || at_once(100, 4));
}

#[test]
#[ignore = "a storm of half a minute"]
fn five_hundred_at_once() {
    child::succeeds("five_hundred_at_once", || at_once(500, 20));
}

// ---- threads that do not return ----

/// Whose end unwinds through the frames of the thread, which have nothing to drop.
type Start = extern "C-unwind" fn(*mut c_void) -> *mut c_void;

unsafe extern "C-unwind" {
    fn pthread_create(
        thread: *mut libc::pthread_t,
        attributes: *const libc::pthread_attr_t,
        start: Start,
        argument: *mut c_void,
    ) -> c_int;
    fn pthread_exit(value: *mut c_void) -> !;
    fn pause() -> c_int;
}

/// Blocks of the thread that was not let live: address and size. Plain, since it drops nothing.
static FATED: [AtomicUsize; SIZES.len()] = [const { AtomicUsize::new(0) }; SIZES.len()];
/// Of those, how many there are.
static MADE: AtomicUsize = AtomicUsize::new(0);

fn make_plain() {
    for (size, place) in SIZES.into_iter().zip(&FATED) {
        let layout = layout(size, 8);
        // SAFETY: the size is not zero, and the block is `size` bytes long.
        unsafe {
            // One that is freed before the end, and one that is freed by another thread after it.
            let short = alloc(layout);
            let start = alloc(layout);
            assert!(!short.is_null() && !start.is_null());
            start.write_bytes(size as u8, size);
            dealloc(short, layout);
            place.store(start.expose_provenance(), Ordering::Release);
        }
        MADE.fetch_add(1, Ordering::Release);
    }
}

fn free_plain() {
    for (size, place) in SIZES.into_iter().zip(&FATED) {
        let start = ptr::with_exposed_provenance_mut::<u8>(place.swap(0, Ordering::Acquire));
        // SAFETY: `make_plain` made the block, filled it, and left it for good.
        unsafe {
            assert!(
                !start.is_null() && start.read() == size as u8 && start.add(size - 1).read() == size as u8
            );
            dealloc(start, layout(size, 8));
        }
    }
    MADE.store(0, Ordering::Release);
}

extern "C-unwind" fn exits(_: *mut c_void) -> *mut c_void {
    make_plain();
    // SAFETY: no frame of this thread has anything to drop.
    unsafe { pthread_exit(ptr::null_mut()) }
}

extern "C-unwind" fn waits(_: *mut c_void) -> *mut c_void {
    make_plain();
    loop {
        // SAFETY: a cancellation point; as for `exits`.
        unsafe { pause() };
    }
}

fn in_threads_that(start: Start, stack_bytes: Option<usize>, threads: usize, end: impl Fn(libc::pthread_t)) {
    let mut warm = 0;
    for number in 0..threads {
        let mut thread = mem::MaybeUninit::<libc::pthread_t>::uninit();
        // SAFETY: attributes and thread are writable; the thread is joined once.
        unsafe {
            let mut attributes = mem::MaybeUninit::<libc::pthread_attr_t>::uninit();
            assert_eq!(libc::pthread_attr_init(attributes.as_mut_ptr()), 0);
            if let Some(bytes) = stack_bytes {
                assert_eq!(libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), bytes), 0);
            }
            assert_eq!(pthread_create(thread.as_mut_ptr(), attributes.as_ptr(), start, ptr::null_mut()), 0);
            let thread = thread.assume_init();
            end(thread);
            assert_eq!(libc::pthread_join(thread, ptr::null_mut()), 0);
        }
        assert_eq!(MADE.load(Ordering::Acquire), SIZES.len());
        free_plain();
        if number == threads / 5 {
            warm = resident();
        }
    }
    let after = resident();
    assert!(after < warm + SLACK / 2, "{warm} bytes resident when warm, {after} at the end");
}

fn cancel(thread: libc::pthread_t) {
    while MADE.load(Ordering::Acquire) < SIZES.len() {
        thread::yield_now();
    }
    // SAFETY: the thread waits at a cancellation point, and was not joined.
    assert_eq!(unsafe { libc::pthread_cancel(thread) }, 0);
}

#[test]
fn that_exit() {
    child::succeeds("that_exit", || in_threads_that(exits, None, 500, |_| ()));
}

#[test]
fn that_are_cancelled() {
    child::succeeds("that_are_cancelled", || in_threads_that(waits, None, 300, cancel));
}

#[test]
#[ignore = "a storm of a minute"]
fn ten_thousand_that_exit_or_are_cancelled() {
    child::succeeds("ten_thousand_that_exit_or_are_cancelled", || {
        in_threads_that(exits, None, 5000, |_| ());
        in_threads_that(waits, None, 5000, cancel);
    });
}

/// The least stack that libc gives: 16 KiB here.
#[test]
#[cfg_attr(
    all(debug_assertions, feature = "secure"),
    ignore = "its frames are too long unless they are optimised"
)]
fn with_the_smallest_stack() {
    child::succeeds("with_the_smallest_stack", || {
        in_threads_that(exits, Some(libc::PTHREAD_STACK_MIN), 200, |_| ());
    });
}
