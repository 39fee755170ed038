//! `describe` answers in a signal handler, whatever its thread was doing: also where that thread
//! holds the lock that the answer needs.

mod common;

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{mem, process, ptr, thread};

use common::{KIB, MIB, child};
use freestone::describe;
use freestone::inspect::What;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

/// Answers given in the handler, and how many of them were that the books are in use.
static ANSWERS: AtomicU64 = AtomicU64::new(0);
static BUSY: AtomicU64 = AtomicU64::new(0);

/// As many interrupt the registry, the retained ranges and the depot some dozens of times.
const ENOUGH: u64 = 1_000;

extern "C" fn ask(_: libc::c_int) {
    let here = 0_u8;
    // A foreign address is looked for everywhere.
    match describe(&raw const here).what {
        What::Foreign => {}
        What::Busy => _ = BUSY.fetch_add(1, Ordering::Relaxed),
        // SAFETY: no preconditions.
        _ => unsafe { libc::_exit(98) },
    }
    ANSWERS.fetch_add(1, Ordering::Relaxed);
}

/// A timer whose signals go to the calling thread, and to no other.
fn timer_of_this_thread() -> libc::timer_t {
    // SAFETY: all structures are readable and writable for the calls; zeroes are valid ones.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = ask as extern "C" fn(libc::c_int) as libc::sighandler_t;
        assert_eq!(libc::sigaction(libc::SIGUSR1, &raw const action, ptr::null_mut()), 0);
        let mut event: libc::sigevent = mem::zeroed();
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = libc::SIGUSR1;
        event.sigev_notify_thread_id = libc::syscall(libc::SYS_gettid) as i32;
        let mut timer: libc::timer_t = ptr::null_mut();
        assert_eq!(libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer), 0);
        timer
    }
}

/// Sends one signal after so many nanoseconds. One at a time: a handler that waits for a lock takes
/// longer than the time between signals of an interval timer, and its thread would do nothing else.
fn signal_in(timer: libc::timer_t, nanoseconds: libc::c_long) {
    let none = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let when =
        libc::itimerspec { it_interval: none, it_value: libc::timespec { tv_nsec: nanoseconds, ..none } };
    // SAFETY: the timer was made, and the time is readable.
    assert_eq!(unsafe { libc::timer_settime(timer, 0, &raw const when, ptr::null_mut()) }, 0);
}

/// Ends the process where nothing was answered for long.
fn watch() {
    thread::spawn(|| {
        let mut last = u64::MAX;
        loop {
            thread::sleep(Duration::from_secs(5));
            let now = ANSWERS.load(Ordering::Relaxed);
            if now == last {
                eprintln!("no answer for five seconds, after {now}");
                process::exit(99);
            }
            last = now;
        }
    });
}

#[test]
fn describe_answers_whatever_its_thread_was_doing() {
    child::succeeds("describe_answers_whatever_its_thread_was_doing", || {
        watch();
        let timer = timer_of_this_thread();
        for number in 0..ENOUGH {
            signal_in(timer, 1_000 + (number as libc::c_long * 7_919) % 60_000);
            while ANSWERS.load(Ordering::Relaxed) == number {
                // In the registry and the retained ranges; in the depot.
                let large: Vec<u8> = black_box(Vec::with_capacity(3 * MIB));
                let slabs: [Vec<u8>; 3] = [40 * KIB, 200 * KIB, 900 * KIB].map(Vec::with_capacity);
                drop(black_box((large, slabs)));
            }
        }
        eprintln!("{} of {ENOUGH} found the books in use", BUSY.load(Ordering::Relaxed));
    });
}
