//! Allocation and free work in the destructors of thread-local values, in whatever order they
//! run with the end of the thread's heap, and leave nothing behind.

mod common;

use std::cell::RefCell;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use common::block::{Block, layout};
use common::memory::resident;
use common::{KIB, MIB, alone};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

/// Rounds of destructors that libc runs as long as values are set (PTHREAD_DESTRUCTOR_ITERATIONS).
const ROUNDS: usize = 4;
const SIZES: [usize; 6] = [8, 100, 2 * KIB, 40 * KIB, 300 * KIB, 2 * MIB];

fn blocks() -> Vec<Block> {
    SIZES.into_iter().map(|size| Block::new(layout(size, 8), size)).collect()
}

/// What a destructor of a program does: frees what the thread had, and makes new things.
struct Holder(RefCell<Vec<Block>>);

static DROPPED: AtomicUsize = AtomicUsize::new(0);
/// Blocks that destructors made, for others to free.
static LEFT: Mutex<Vec<Block>> = Mutex::new(Vec::new());

impl Drop for Holder {
    fn drop(&mut self) {
        let mut fresh = blocks();
        fresh.iter_mut().for_each(|block| block.resize(block.size() * 3 / 2));
        self.0.borrow_mut().truncate(3);
        LEFT.lock().unwrap_or_else(PoisonError::into_inner).extend(fresh.pop());
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

thread_local! {
    static EARLY: Holder = const { Holder(RefCell::new(Vec::new())) };
    static LATE: Holder = const { Holder(RefCell::new(Vec::new())) };
}

/// Fails unless `thread_body` runs in threads, and its `destructors` all do, in flat memory.
fn in_threads(threads: usize, destructors: usize, thread_body: fn()) {
    let _alone = alone();
    let before = DROPPED.load(Ordering::Relaxed);
    let mut warm = 0;
    for thread in 0..threads {
        thread::spawn(thread_body).join().expect("the thread ends well");
        LEFT.lock().unwrap_or_else(PoisonError::into_inner).clear();
        if thread == threads / 10 {
            warm = resident();
        }
    }
    assert_eq!(DROPPED.load(Ordering::Relaxed) - before, threads * destructors, "every destructor ran");
    let after = resident();
    assert!(after < warm + 2 * MIB + threads * KIB, "{warm} bytes resident when warm, {after} at the end");
}

/// `std` allocates for a new thread before its body runs; a thread of libc's own does not.
fn in_bare_threads(threads: usize, destructors: usize, thread_body: fn()) {
    extern "C" fn start(body: *mut c_void) -> *mut c_void {
        // SAFETY: the argument is the function that `run` passes.
        let body: fn() = unsafe { std::mem::transmute(body) };
        body();
        ptr::null_mut()
    }
    static BODY: Mutex<Option<fn()>> = Mutex::new(None);
    fn run() {
        let body = BODY.lock().unwrap_or_else(PoisonError::into_inner).expect("set below");
        let mut thread = MaybeUninit::<libc::pthread_t>::uninit();
        // SAFETY: `thread` is writable, and `start` takes the function that it is given.
        let status =
            unsafe { libc::pthread_create(thread.as_mut_ptr(), ptr::null(), start, body as *mut c_void) };
        assert_eq!(status, 0);
        // SAFETY: the thread was created, and is joined once.
        assert_eq!(unsafe { libc::pthread_join(thread.assume_init(), ptr::null_mut()) }, 0);
    }
    *BODY.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread_body);
    in_threads(threads, destructors, run);
}

#[test]
fn registered_after_the_first_allocation() {
    in_threads(300, 2, || {
        drop(blocks());
        EARLY.with(|holder| holder.0.replace(blocks()));
        LATE.with(|holder| holder.0.replace(blocks()));
    });
}

#[test]
fn registered_before_the_first_allocation() {
    in_bare_threads(300, 2, || {
        EARLY.with(|_| {});
        LATE.with(|holder| holder.0.replace(blocks()));
        EARLY.with(|holder| holder.0.replace(blocks()));
    });
}

/// The destructors' allocations are the thread's first.
#[test]
fn without_any_other_allocation() {
    in_bare_threads(300, 2, || {
        EARLY.with(|_| {});
        LATE.with(|_| {});
    });
}

/// Blocks for the destructor of a raw key, and the round that comes next.
struct Raw {
    blocks: Vec<Block>,
    round: usize,
}

/// Comes again for as many rounds as libc runs.
unsafe extern "C" fn raw_destructor(value: *mut c_void) {
    // SAFETY: the value is a box that `arm` leaked, and this is its only user.
    let mut raw = unsafe { Box::from_raw(value.cast::<Raw>()) };
    raw.round += 1;
    raw.blocks = blocks();
    DROPPED.fetch_add(1, Ordering::Relaxed);
    if raw.round < ROUNDS {
        arm(raw);
    }
}

fn arm(raw: Box<Raw>) {
    // SAFETY: the key was made, and the value is what its destructor expects.
    let status = unsafe { libc::pthread_setspecific(key(), Box::into_raw(raw).cast()) };
    assert_eq!(status, 0);
}

/// A key that comes after the allocator's own, which the first allocation made.
fn key() -> libc::pthread_key_t {
    static KEY: OnceLock<libc::pthread_key_t> = OnceLock::new();
    *KEY.get_or_init(|| {
        let mut key = 0;
        // SAFETY: `key` is writable for the call.
        assert_eq!(unsafe { libc::pthread_key_create(&raw mut key, Some(raw_destructor)) }, 0);
        key
    })
}

#[test]
fn of_raw_keys_through_every_round() {
    in_threads(1000, ROUNDS, || arm(Box::new(Raw { blocks: blocks(), round: 0 })));
}

/// A key beyond those for which libc has room in the thread itself: to set it allocates.
#[test]
fn of_keys_that_libc_allocates_for() {
    static HIGH: OnceLock<libc::pthread_key_t> = OnceLock::new();
    unsafe extern "C" fn drop_blocks(value: *mut c_void) {
        // SAFETY: the value is a box that the thread leaked.
        drop(unsafe { Box::from_raw(value.cast::<Vec<Block>>()) });
        DROPPED.fetch_add(blocks().len() / SIZES.len(), Ordering::Relaxed);
    }
    HIGH.get_or_init(|| {
        let mut key = 0;
        while key < 40 {
            // SAFETY: `key` is writable for the call.
            assert_eq!(unsafe { libc::pthread_key_create(&raw mut key, Some(drop_blocks)) }, 0);
        }
        key
    });
    in_threads(200, 1, || {
        let value = Box::into_raw(Box::new(blocks()));
        let key = *HIGH.get().expect("made above");
        // SAFETY: the key was made, and the value is what its destructor expects.
        assert_eq!(unsafe { libc::pthread_setspecific(key, value.cast()) }, 0);
    });
}
