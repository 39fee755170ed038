//! `fork` in the middle of other threads' work: the child allocates, frees what it inherited,
//! and makes threads, at once.

mod common;

use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use common::block::{Block, layout};
use common::forked::{WELL, in_child};
use common::seed::{random, seed};
use common::shadow::{Operation, Ranges, Shadow};
use common::{KIB, border_sizes, child};
use rand::RngExt;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

const FORKS: usize = 200;
const THREADS: usize = 4;

/// Allocates, frees and hands over, until told to stop. Some threads end on the way, so that
/// forks also meet heaps in their making and at their end.
fn churn(stream: u64, stop: &Arc<AtomicBool>, send: &SyncSender<Block>) {
    let mut random = random(stream);
    let mut shadow = Shadow::new(Arc::new(Ranges::default()), 0);
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..100 {
            shadow.apply(Operation::random(&mut random, shadow.live(), 40));
        }
        if let Some(block) = shadow.take(random.random_range(0..100)) {
            // Where nobody has room for it, it is freed here.
            let _ = send.try_send(block);
        }
        let short = thread::spawn(|| drop(blocks(20)));
        short.join().expect("no thread fails");
    }
    shadow.free_all();
}

/// Blocks of every `step`th size: little memory, for every page that a child touches is copied.
fn blocks(step: usize) -> Vec<Block> {
    border_sizes(200 * KIB).into_iter().step_by(step).map(|size| Block::new(layout(size, 8), size)).collect()
}

/// A thread that makes blocks and frees them. Not one of the standard library's: it notes its own
/// in a map under a lock, which a thread that the fork has left behind may hold.
fn bare_thread() -> libc::pthread_t {
    extern "C" fn run(_: *mut c_void) -> *mut c_void {
        drop(blocks(9));
        ptr::null_mut()
    }
    let mut thread = MaybeUninit::<libc::pthread_t>::uninit();
    // SAFETY: the place is writable, and the function takes no argument.
    let status = unsafe { libc::pthread_create(thread.as_mut_ptr(), ptr::null(), run, ptr::null_mut()) };
    assert_eq!(status, 0, "no memory for another thread");
    // SAFETY: the thread was created.
    unsafe { thread.assume_init() }
}

/// What the child does with the blocks that it inherited.
fn child_work(inherited: Vec<Block>) {
    let mut own = blocks(5);
    drop(inherited);
    own.iter_mut().for_each(|block| block.resize(block.size() * 2));
    let threads: Vec<_> = (0..2).map(|_| bare_thread()).collect();
    own.truncate(own.len() / 2);
    for thread in threads {
        // SAFETY: the thread was made and nobody else waits for it.
        assert_eq!(unsafe { libc::pthread_join(thread, ptr::null_mut()) }, 0);
    }
    freestone::purge();
    drop(blocks(5));
}

/// Forks so many times; every child must come to its end, and some must inherit blocks.
fn fork_often(receive: &Receiver<Block>) {
    let mut inherited_ever = 0;
    for number in 0..FORKS {
        let inherited: Vec<Block> = receive.try_iter().collect();
        inherited_ever += inherited.len();
        let mut of_the_child = Some(inherited);
        let ending = in_child(|| child_work(of_the_child.take().expect("once")));
        assert_eq!(ending, WELL, "child number {number}");
    }
    assert!(inherited_ever > FORKS, "{inherited_ever} blocks were inherited: nobody churned");
}

/// In a process of its own, for the test harness has threads and locks too.
#[test]
fn in_the_middle_of_churn() {
    child::alone(|| {
        eprintln!("seed {}", seed());
        // What the blocks' own helpers make once is not to be caught half-made by a fork.
        drop(blocks(20));
        let stop = Arc::new(AtomicBool::new(false));
        let (send, receive) = sync_channel(64);
        let threads: Vec<_> = (0..THREADS as u64)
            .map(|stream| {
                let (stop, send) = (stop.clone(), send.clone());
                thread::spawn(move || churn(stream, &stop, &send))
            })
            .collect();
        fork_often(&receive);
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().for_each(|thread| thread.join().expect("no thread fails"));
    });
}
