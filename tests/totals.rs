//! What was ever requested and freed is counted to the byte, and with `allocation-counts` to the
//! call: of the process and of a group, by threads that free each other's blocks, through both
//! doors, and by blocks that are resized where they lie.
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]

mod common;

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, realloc};
use std::hint::black_box;
use std::sync::{Barrier, Mutex};
use std::thread;

use common::seed::{random, seed};
use freestone::groups::Group;
use freestone::stats::Stats;
use freestone::untyped;
use rand::RngExt;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

static GROUP: Group = Group::new("counted");

const THREADS: usize = 4;
const OPERATIONS: usize = 50_000;
const PLACES: usize = 300;

/// What a thread has done: bytes and calls.
#[derive(Clone, Copy, Default)]
struct Done {
    requested: u64,
    freed: u64,
    allocations: u64,
    frees: u64,
}

type Block = Option<(usize, Layout)>;

static SHELF: [Mutex<Block>; 64] = [const { Mutex::new(None) }; 64];

impl Done {
    fn make(&mut self, size: usize, align: usize, zeroed: bool) -> (usize, Layout) {
        let layout = Layout::from_size_align(size, align).expect("a valid layout");
        // SAFETY: the size is not zero.
        let start = unsafe { if zeroed { alloc_zeroed(layout) } else { alloc(layout) } };
        assert!(!start.is_null());
        self.requested += size as u64;
        self.allocations += 1;
        (start.expose_provenance(), layout)
    }

    fn free(&mut self, (address, layout): (usize, Layout)) {
        // SAFETY: the block is live, and this is its layout.
        unsafe { dealloc(std::ptr::with_exposed_provenance_mut(address), layout) };
        self.freed += layout.size() as u64;
        self.frees += 1;
    }

    fn and(mut self, other: Self) -> Self {
        self.requested += other.requested;
        self.freed += other.freed;
        self.allocations += other.allocations;
        self.frees += other.frees;
        self
    }
}

/// Replaces blocks at random, and exchanges some with the other threads.
fn churn(thread: u64) -> Done {
    let (mut random, mut done) = (random(thread), Done::default());
    let mut places: [Block; PLACES] = [None; PLACES];
    for _ in 0..OPERATIONS {
        let place = random.random_range(0..PLACES);
        if let Some(block) = places[place].take() {
            done.free(block);
        }
        let size = match random.random_range(0..200) {
            0..180 => random.random_range(1..800),
            180..199 => random.random_range(1..60_000),
            _ => random.random_range(1..(2 << 20)),
        };
        let align = if random.random_range(0..16) == 0 { 64 } else { 8 };
        places[place] = Some(done.make(size, align, random.random_range(0..8) == 0));
        if random.random_range(0..4) == 0 {
            let shelf = &SHELF[random.random_range(0..SHELF.len())];
            std::mem::swap(&mut places[place], &mut *shelf.lock().expect("not poisoned"));
        }
    }
    places.into_iter().flatten().for_each(|block| done.free(block));
    // What waits in the outboxes.
    freestone::thread_idle();
    done
}

/// Makes the threads in the group, runs them, and says what they did and what the process did.
fn run() -> (Done, Stats, Stats) {
    let (begin, end) = (Barrier::new(THREADS + 1), Barrier::new(THREADS + 1));
    let sum = Mutex::new(Done::default());
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS as u64)
            .map(|thread| {
                let (begin, end, sum) = (&begin, &end, &sum);
                scope.spawn(move || {
                    begin.wait();
                    let done = GROUP.enter(|| churn(thread));
                    let mut sum = sum.lock().expect("not poisoned");
                    *sum = sum.and(done);
                    drop(sum);
                    end.wait();
                    // No thread ends, which frees something, before the books were read.
                    end.wait();
                })
            })
            .collect();
        // Threads allocate while they begin.
        thread::sleep(std::time::Duration::from_millis(200));
        let before = freestone::stats();
        begin.wait();
        end.wait();
        let mut sum = *sum.lock().expect("not poisoned");
        for shelf in &SHELF {
            shelf.lock().expect("not poisoned").take().into_iter().for_each(|block| sum.free(block));
        }
        freestone::thread_idle();
        let after = freestone::stats();
        end.wait();
        // A scope ends before its threads have: they still free what is theirs.
        threads.into_iter().for_each(|thread| thread.join().expect("no thread fails"));
        (sum, before, after)
    })
}

fn main() {
    // It allocates the first time.
    let _ = seed();
    let (sum, before, after) = run();
    let group = GROUP.stats();
    assert_eq!((group.requested_total, group.freed_total), (sum.requested, sum.freed), "{group}");
    assert_eq!((group.requested, group.blocks), (0, 0), "{group}");
    assert!(group.requested_peak > 0 && group.requested_peak <= group.peak, "{group}");
    let change = after.since(&before);
    assert_eq!(change.requested_total.cast_unsigned(), sum.requested);
    assert_eq!(change.freed_total.cast_unsigned(), sum.freed);
    if cfg!(feature = "allocation-counts") {
        assert_eq!((group.allocations_total, group.frees_total), (Some(sum.allocations), Some(sum.frees)));
        assert_eq!(change.allocations_total.map(i64::cast_unsigned), Some(sum.allocations));
        assert_eq!(change.frees_total.map(i64::cast_unsigned), Some(sum.frees));
    } else {
        assert_eq!((group.allocations_total, change.frees_total), (None, None));
    }
    a_block_that_stays_is_no_allocation();
    the_other_door_counts_calls();
}

fn a_block_that_stays_is_no_allocation() {
    let layout = Layout::from_size_align(1000, 8).expect("a valid layout");
    // SAFETY: the size is not zero.
    let start = unsafe { alloc(layout) };
    let before = freestone::stats();
    // SAFETY: the block is live, and has that layout. Both sizes are of one class.
    let same =
        unsafe { realloc(realloc(start, layout, 1010), Layout::from_size_align_unchecked(1010, 8), 990) };
    let change = freestone::stats().since(&before);
    assert_eq!(same, start);
    assert_eq!((change.requested_total, change.freed_total), (10, 20));
    assert!(change.allocations_total.is_none_or(|allocations| allocations == 0));
    // SAFETY: as above.
    unsafe { dealloc(same, Layout::from_size_align_unchecked(990, 8)) };
}

fn the_other_door_counts_calls() {
    let before = freestone::stats();
    for size in [1, 100, 5000, 100_000, 3 << 20] {
        let start = black_box(untyped::allocate(size));
        // SAFETY: allocated just now.
        unsafe { untyped::free(start) };
        // SAFETY: as above.
        unsafe { untyped::free(black_box(untyped::allocate_zeroed(size, 16))) };
    }
    // A block that moves as it grows is one more, with room behind it or not.
    let mut start = untyped::allocate(1000);
    let mut moves = 0;
    for size in [1100, 1200, 1300, 5000, 5200] {
        // SAFETY: the block is live.
        let moved = unsafe { untyped::reallocate(start, size) };
        moves += i64::from(moved != start);
        start = moved;
    }
    assert!(moves >= 2);
    // SAFETY: as above.
    unsafe { untyped::free(start) };
    let change = freestone::stats().since(&before);
    assert_eq!((change.requested_total, change.freed_total), (0, 0));
    if cfg!(feature = "allocation-counts") {
        let calls = 11 + moves;
        assert_eq!((change.allocations_total, change.frees_total), (Some(calls), Some(calls)));
    }
}
