//! Statistics, and a purge where there is nothing to give back, make no system call: a program may
//! ask by the clock. They don't read the clock either, which is a call where the C library finds no
//! vDSO.

mod common;

use std::ffi::{c_int, c_long};
use std::hint::black_box;
use std::thread;

use common::MIB;
use common::child;
use common::seccomp;
use freestone::stats::ThreadStats;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

/// The C library's clock_gettime(2), as where it finds no vDSO: musl up to 1.2.5 on 64-bit ARM.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> c_int {
    // SAFETY: the caller's promises are those of the call.
    unsafe { libc::syscall(libc::SYS_clock_gettime, c_long::from(clock), time) as c_int }
}

/// From here on the calling thread may only wait, say what fails, and end the process: any other
/// call is the process's end (seccomp(2)).
fn forbid_calls() {
    seccomp::load(&mut [
        seccomp::NUMBER,
        seccomp::if_call(libc::SYS_exit_group, 3, 0),
        seccomp::if_call(libc::SYS_write, 2, 0),
        // Another thread may be in the way of a lock.
        seccomp::if_call(libc::SYS_sched_yield, 1, 0),
        seccomp::if_call(libc::SYS_nanosleep, 0, 1),
        seccomp::answer(libc::SECCOMP_RET_ALLOW),
        seccomp::answer(libc::SECCOMP_RET_KILL_PROCESS),
    ])
    .expect("a thread may have a filter");
}

/// Small and large blocks, some of them freed by another thread.
fn live() -> Vec<Vec<u8>> {
    let blocks: Vec<_> = (0..20_000).map(|index| vec![1; index * 7 % 2_000 + 1]).collect();
    let (kept, freed) = blocks.into_iter().enumerate().partition::<Vec<_>, _>(|(index, _)| index % 5 != 0);
    thread::spawn(move || drop(freed)).join().expect("it frees");
    kept.into_iter().map(|(_, block)| block).chain([vec![1; 2 * MIB]]).collect()
}

#[test]
fn statistics() {
    child::succeeds("statistics", || {
        let (live, mut heaps) = (live(), [ThreadStats::default(); 16]);
        forbid_calls();
        for _ in 0..100 {
            assert!(black_box(freestone::stats()).allocated > 10 * MIB);
            assert!(freestone::stats::heap_stats(&mut heaps) > 1);
        }
        std::mem::forget(black_box(live));
        // SAFETY: no preconditions. Without the blocks' end, which makes calls.
        unsafe { libc::_exit(child::DONE) };
    });
}

#[test]
fn a_purge_with_nothing_to_give_back() {
    child::succeeds("a_purge_with_nothing_to_give_back", || {
        let live = live();
        assert!(freestone::purge(), "the ended thread has left something, and the vector of all");
        freestone::purge();
        forbid_calls();
        for _ in 0..100 {
            assert!(!freestone::purge());
        }
        std::mem::forget(black_box(live));
        // SAFETY: as above.
        unsafe { libc::_exit(child::DONE) };
    });
}
