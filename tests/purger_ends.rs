//! The background purger keeps no process alive, takes no time while it waits, and is there again
//! when it is needed. Built with the `background-purge` feature only.
#![cfg(feature = "background-purge")]

mod common;

use std::ffi::c_void;
use std::fs;
use std::mem::MaybeUninit;
use std::ptr;
use std::thread;
use std::time::{Duration, Instant};

use common::block::{Block, layout};
use common::{KIB, MIB, child, clock};

#[global_allocator]
static ALLOC: freestone::Freestone =
    freestone::Freestone::new().purge_delay(std::time::Duration::from_millis(DELAY_MS));

/// So long that the purger has something before it while the other threads end.
const DELAY_MS: u64 = 600_000;
/// A second or two is what it takes; a busy machine may take longer.
const PATIENCE: Duration = Duration::from_secs(30);

fn leave_something() {
    let sizes = [KIB, 300 * KIB, 4 * MIB];
    sizes
        .iter()
        .for_each(|size| drop((0..16).map(|tag| Block::new(layout(*size, 1), tag)).collect::<Vec<_>>()));
}

fn threads() -> usize {
    fs::read_dir("/proc/self/task").expect("the kernel's list of threads").count()
}

fn within_patience(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "{what} takes too long");
        thread::sleep(Duration::from_millis(20));
    }
}

extern "C" fn last(_: *mut c_void) -> *mut c_void {
    leave_something();
    // SAFETY: no preconditions.
    unsafe { libc::usleep(200_000) };
    ptr::null_mut()
}

/// A child whose first thread ends at once, and the other one after a while.
fn child_without_first_thread() -> libc::pid_t {
    // SAFETY: the child does what this allocator allows after a fork.
    let process = unsafe { libc::fork() };
    if process == 0 {
        leave_something();
        let mut thread = MaybeUninit::<libc::pthread_t>::uninit();
        // SAFETY: the function needs no argument; and the first thread has nothing that must be
        // undone.
        unsafe {
            libc::pthread_create(thread.as_mut_ptr(), ptr::null(), last, ptr::null_mut());
            libc::syscall(libc::SYS_exit, 0);
        }
    }
    process
}

#[test]
fn a_process_ends_with_its_last_thread() {
    child::succeeds("a_process_ends_with_its_last_thread", || {
        let process = child_without_first_thread();
        let mut status = 0;
        // SAFETY: `status` is writable for the call.
        let mut has_ended = || unsafe { libc::waitpid(process, &raw mut status, libc::WNOHANG) == process };
        within_patience("the end of a process without threads of its own", &mut has_ended);
        assert_eq!(status, 0);
    });
}

#[test]
fn the_purger_ends_with_its_work_and_comes_again() {
    child::succeeds("the_purger_ends_with_its_work_and_comes_again", || {
        let without = threads();
        for _ in 0..2 {
            leave_something();
            within_patience("the purger's start", || threads() == without + 1);
            within_patience("the purger's end", || {
                // Leaves it nothing to do. A purge wakes it, though: the next one comes when it
                // would have ended.
                freestone::purge();
                thread::sleep(Duration::from_secs(3));
                threads() == without
            });
        }
    });
}

#[test]
fn the_purger_takes_no_time_while_it_waits() {
    child::succeeds("the_purger_takes_no_time_while_it_waits", || {
        let without = threads();
        leave_something();
        within_patience("the purger's start", || threads() == without + 1);
        let before = clock::of_process();
        thread::sleep(Duration::from_secs(3));
        let taken = clock::of_process() - before;
        assert!(taken < Duration::from_millis(300), "{taken:?} in three seconds of waiting");
        assert_eq!(threads(), without + 1, "there was still something to wait for");
    });
}
