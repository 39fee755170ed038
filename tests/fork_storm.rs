//! A fork every millisecond while eight threads allocate; children allocate, run another
//! program, or just end. The long storm is `--ignored`.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::block::{Block, layout};
use common::forked::{WELL, in_child};
use common::{KIB, MIB, child};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

const THREADS: usize = 8;

fn blocks(tag: usize) -> [Block; 7] {
    [16, 100, 700, 5 * KIB, 30 * KIB, 200 * KIB, MIB + 1].map(|size| Block::new(layout(size, 8), tag))
}

/// The child's end: after work of its own, as another program, or at once.
fn child_life(number: usize, inherited: [Block; 7]) {
    match number % 3 {
        0 => {
            let own = blocks(number);
            drop(inherited);
            drop(own);
            freestone::purge();
        }
        1 => {
            let program = c"/bin/true".as_ptr();
            let arguments = [program, std::ptr::null()];
            // SAFETY: the strings end in zero.
            unsafe { libc::execv(program, arguments.as_ptr()) };
            panic!("another program could not be run");
        }
        // SAFETY: no preconditions.
        _ => unsafe { libc::_exit(0) },
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
            let mut of_the_child = Some(inherited);
            let ending = in_child(|| child_life(number, of_the_child.take().expect("once")));
            if ending != WELL {
                stop.store(true, Ordering::Relaxed);
                panic!("child number {number}: {ending:?}");
            }
            drop(of_the_child);
            thread::sleep(Duration::from_millis(1));
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_hundred_forks() {
    child::alone(|| storm(100));
}

#[test]
#[ignore = "a storm of a minute"]
fn two_thousand_forks() {
    child::alone(|| storm(2000));
}
