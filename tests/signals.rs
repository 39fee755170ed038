//! Signals in the middle of allocation, whose handler does what a handler may: write. And the
//! last moments of a process: handlers of `atexit` allocate and free.

mod common;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{mem, ptr, thread};

use common::block::{Block, layout};
use common::seed::random;
use common::{KIB, MIB, child};
use rand::RngExt;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

static CAUGHT: AtomicUsize = AtomicUsize::new(0);
static PIPE: AtomicUsize = AtomicUsize::new(0);

extern "C" fn write_a_byte(_: libc::c_int) {
    CAUGHT.fetch_add(1, Ordering::Relaxed);
    // SAFETY: the byte is readable. Its errno is the interrupted code's to keep.
    unsafe {
        let errno = *libc::__errno_location();
        libc::write(PIPE.load(Ordering::Relaxed) as i32, b"x".as_ptr().cast(), 1);
        *libc::__errno_location() = errno;
    }
}

fn signal_every(microseconds: i64) {
    let time = libc::timeval { tv_sec: 0, tv_usec: microseconds };
    let timer = libc::itimerval { it_interval: time, it_value: time };
    // SAFETY: all structures are readable and writable for the calls; zeroes are valid ones.
    unsafe {
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_WRONLY);
        assert!(null >= 0);
        PIPE.store(null as usize, Ordering::Relaxed);
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = write_a_byte as extern "C" fn(libc::c_int) as libc::sighandler_t;
        assert_eq!(libc::sigaction(libc::SIGALRM, &raw const action, ptr::null_mut()), 0);
        assert_eq!(libc::setitimer(libc::ITIMER_REAL, &raw const timer, ptr::null_mut()), 0);
    }
}

/// Works until `enough` signals came, and then some.
fn churn(stream: u64, enough: usize) {
    let mut random = random(stream);
    let mut live: [Option<Block>; 50] = [const { None }; 50];
    let begun = Instant::now();
    while CAUGHT.load(Ordering::Relaxed) < enough {
        assert!(begun.elapsed() < Duration::from_secs(100), "too few signals came");
        for tag in 0..500 {
            let at = random.random_range(0..live.len());
            let size = random.random_range(1..=if at == 0 { 2 * MIB } else { (4 * KIB) << (at % 5) });
            match live[at].take() {
                Some(mut block) if tag % 3 == 0 => {
                    block.resize(size);
                    live[at] = Some(block);
                }
                Some(block) => drop(block),
                None => live[at] = Some(Block::new(layout(size, 1), tag)),
            }
        }
    }
}

fn storm(enough: usize) {
    signal_every(300);
    let threads: Vec<_> = (0..3).map(|stream| thread::spawn(move || churn(stream, enough))).collect();
    threads.into_iter().for_each(|thread| thread.join().expect("a thread ends well"));
}

#[test]
fn a_thousand_signals() {
    child::succeeds("a_thousand_signals", || storm(1000));
}

#[test]
#[ignore = "a storm of half a minute"]
fn a_hundred_thousand_signals() {
    child::succeeds("a_hundred_thousand_signals", || storm(100_000));
}

static KEPT: Mutex<Vec<Block>> = Mutex::new(Vec::new());

/// The last handler to run: those registered later come first.
extern "C" fn last() {
    let mut kept = KEPT.lock().expect("no holder failed");
    kept.push(Block::new(layout(3 * MIB, 1), 3));
    kept.iter_mut().for_each(|block| block.resize(block.size() + 100));
    kept.clear();
    freestone::purge();
    // SAFETY: no preconditions. Only from here does the test succeed.
    unsafe { libc::_exit(child::DONE) }
}

extern "C" fn first() {
    KEPT.lock().expect("no holder failed").push(Block::new(layout(500, 1), 2));
}

#[test]
fn handlers_at_exit_allocate_and_free() {
    child::succeeds("handlers_at_exit_allocate_and_free", || {
        // SAFETY: the handlers stay as long as the process.
        unsafe {
            assert_eq!((libc::atexit(last), libc::atexit(first)), (0, 0));
        }
        // The thread whose blocks these are is gone by then, too.
        let made = thread::spawn(|| [20, 5 * KIB, MIB + 5].map(|size| Block::new(layout(size, 1), 1)));
        KEPT.lock().expect("no holder failed").extend(made.join().expect("a thread ends well"));
        // SAFETY: no other thread runs handlers.
        unsafe { libc::exit(1) }
    });
}
