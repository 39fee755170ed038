//! A fork every millisecond while eight threads allocate; children allocate, run another
//! program, or just end. The long storm is `--ignored`.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::block::{Block, layout};
use common::{KIB, MIB, child};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

const THREADS: usize = 8;
/// Seconds after which the kernel ends a child that hangs.
const PATIENCE_SECONDS: u32 = 60;

fn blocks(tag: usize) -> [Block; 7] {
    [16, 100, 700, 5 * KIB, 30 * KIB, 200 * KIB, MIB + 1].map(|size| Block::new(layout(size, 8), tag))
}

/// The child's end: after work of its own, as another program, or at once.
fn child_life(number: usize, inherited: [Block; 7]) -> ! {
    // SAFETY: no preconditions; the strings end in zero.
    unsafe {
        libc::alarm(PATIENCE_SECONDS);
        match number % 3 {
            0 => {
                let own = blocks(number);
                drop(inherited);
                drop(own);
                freestone::purge();
                libc::_exit(0)
            }
            1 => {
                let program = c"/bin/true".as_ptr();
                let arguments = [program, std::ptr::null()];
                libc::execv(program, arguments.as_ptr());
                libc::_exit(99)
            }
            _ => libc::_exit(0),
        }
    }
}

fn storm(forks: usize) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for tag in 0..THREADS {
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let mut blocks = blocks(tag);
                    blocks.iter_mut().for_each(|block| block.resize(block.size() * 2));
                }
            });
        }
        for number in 0..forks {
            let inherited = blocks(number);
            // SAFETY: the child allocates, which is what is tested, and ends without a handler.
            let process = unsafe { libc::fork() };
            if process == 0 {
                child_life(number, inherited);
            }
            let mut status = 0;
            // SAFETY: `status` is writable for the call.
            let ended = unsafe { libc::waitpid(process, &raw mut status, 0) };
            if process == -1 || ended != process || status != 0 {
                stop.store(true, Ordering::Relaxed);
                panic!("child number {number}: process {process}, wait status {status:#x}");
            }
            drop(inherited);
            thread::sleep(Duration::from_millis(1));
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_hundred_forks() {
    child::succeeds("a_hundred_forks", || storm(100));
}

#[test]
#[ignore = "a storm of a minute"]
fn two_thousand_forks() {
    child::succeeds("two_thousand_forks", || storm(2000));
}
