//! Bins: opened where a large heap's frees are scattered, closed where they are not. What a thread
//! frees there it is given again; how much of it is kept, and for how long.
#![cfg(not(feature = "secure"))]

mod common;

use std::alloc::{alloc, alloc_zeroed, dealloc};
use std::hint::black_box;
use std::{mem, ptr, thread};

use common::block::layout;
use common::child::{self, Child};
use common::report::{announce, dies_by_report};
use common::{KIB, MIB};
use freestone::inspect::{BlockState, What};
use freestone::stats::ClassStats;
use freestone::{describe, untyped};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

/// Most blocks in a bin, and most bytes of them.
const MOST_BLOCKS: usize = 63;
const MOST_BYTES: usize = 16 * KIB;

/// Bytes of a large heap, and of a small one.
const LARGE: usize = 6 * MIB;
const SMALL: usize = MIB;

/// Sizes that nothing else here asks for: of short classes and of the longest with a bin.
const SIZES: [usize; 3] = [80, 208, 2000];

/// The way of a set's blocks in and out.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Door {
    Layout,
    Untyped,
}

/// Blocks of one size, each with its number written at both ends.
struct Set {
    door: Door,
    size: usize,
    /// Null where there is none.
    blocks: Vec<*mut u8>,
}

impl Set {
    fn new(door: Door, size: usize, bytes: usize) -> Self {
        let mut set = Self { door, size, blocks: Vec::with_capacity(2 * bytes / size) };
        set.grow(bytes / size);
        set
    }

    /// The same, once random blocks of it were replaced so often that its class has its bin, if it
    /// will; and with blocks in the bin.
    fn scattered(size: usize, bytes: usize) -> Self {
        Self::scattered_of(Door::Layout, size, bytes)
    }

    fn scattered_of(door: Door, size: usize, bytes: usize) -> Self {
        let mut set = Self::new(door, size, bytes);
        set.replace(2 * set.blocks.len());
        // Far apart, so that they are not one slab's.
        for part in HOLES {
            set.free(set.blocks.len() / part);
        }
        set
    }

    fn make(&mut self, number: usize) {
        let start = match self.door {
            // SAFETY: the size is not zero.
            Door::Layout => unsafe { alloc(layout(self.size, 8)) },
            Door::Untyped => untyped::allocate(self.size),
        };
        assert!(!start.is_null());
        // SAFETY: the block has at least two words.
        unsafe {
            start.cast::<usize>().write(number);
            start.add(self.size - 8).cast::<usize>().write_unaligned(number);
        }
        self.blocks[number] = start;
    }

    fn grow(&mut self, blocks: usize) {
        for _ in 0..blocks {
            self.blocks.push(ptr::null_mut());
            self.make(self.blocks.len() - 1);
        }
    }

    /// Frees the block with that number, if there is one. Returns it.
    fn free(&mut self, number: usize) -> *mut u8 {
        let start = mem::replace(&mut self.blocks[number], ptr::null_mut());
        if !start.is_null() {
            // SAFETY: written when it was made.
            let found = unsafe {
                [start.cast::<usize>().read(), start.add(self.size - 8).cast::<usize>().read_unaligned()]
            };
            assert_eq!(found, [number; 2], "{start:p} was somebody else's meanwhile");
            // SAFETY: the block is the set's, which has forgotten it.
            unsafe {
                match self.door {
                    Door::Layout => dealloc(start, layout(self.size, 8)),
                    Door::Untyped => untyped::free(start),
                }
            }
        }
        start
    }

    /// Replaces random blocks.
    fn replace(&mut self, times: usize) {
        let mut random = StdRng::seed_from_u64(times as u64);
        for _ in 0..times {
            let number = random.random_range(..self.blocks.len());
            self.free(number);
            self.make(number);
        }
    }

    fn live(&self) -> usize {
        self.blocks.iter().filter(|block| !block.is_null()).count()
    }

    fn class(&self) -> ClassStats {
        class_of(self.size)
    }

    fn drop_all(mut self) {
        (0..self.blocks.len()).for_each(|number| {
            self.free(number);
        });
    }
}

/// Of a scattered set the blocks at these parts of its length are free.
const HOLES: [usize; 4] = [2, 3, 5, 7];

fn class_of(size: usize) -> ClassStats {
    *freestone::stats().classes().find(|class| class.block >= size).expect("the class has had a slab")
}

#[test]
fn a_bin_opens_where_frees_are_scattered() {
    child::alone(|| {
        for (door, size) in
            [Door::Layout, Door::Untyped].into_iter().flat_map(|door| SIZES.map(|size| (door, size)))
        {
            let mut set = Set::scattered_of(door, size, LARGE);
            let class = set.class();
            let places = MOST_BLOCKS.min(MOST_BYTES / class.block);
            assert!((1..=places).contains(&class.binned), "{door:?} {size}: {class:?}, {places} places");
            // The harness has blocks, too.
            assert!((0..64).contains(&(class.used - set.live())), "{class:?}, {} live", set.live());
            set.replace(10_000);
            set.drop_all();
        }
    });
}

#[test]
fn small_heaps_and_long_blocks_have_none() {
    child::alone(|| {
        for (size, bytes) in [(72, SMALL), (500, SMALL), (3000, LARGE), (6000, LARGE)] {
            let set = Set::scattered(size, bytes);
            assert_eq!(freestone::stats().binned, 0, "{size}");
            set.drop_all();
        }
    });
}

/// Each block goes into the bin and out of it again: nothing is gained.
#[test]
fn a_bin_closes_where_a_program_builds_up_or_takes_down() {
    child::alone(|| {
        for size in SIZES {
            let mut set = Set::scattered(size, LARGE);
            set.grow(32 * MOST_BLOCKS);
            for part in HOLES {
                set.free(set.blocks.len() / part - 1);
            }
            assert_eq!(set.class().binned, 0, "{size}: built up");
            set.drop_all();
            let mut set = Set::scattered(size, LARGE);
            (0..32 * MOST_BLOCKS).for_each(|number| {
                set.free(number);
            });
            assert_eq!(set.class().binned, 0, "{size}: taken down");
            set.drop_all();
        }
    });
}

#[test]
fn the_last_block_freed_is_the_next_one_given() {
    child::alone(|| {
        for size in SIZES {
            let mut set = Set::scattered(size, LARGE);
            let freed = [set.free(7), set.free(3000)];
            let states = freed.map(|start| match describe(start).what {
                What::Block { state, .. } => state,
                other => panic!("{other:?}"),
            });
            assert_eq!(states, [BlockState::Free; 2]);
            set.make(3000);
            set.make(7);
            assert_eq!([set.blocks[7], set.blocks[3000]], freed, "{size}");
            set.drop_all();
        }
    });
}

#[test]
fn idle_threads_and_those_that_end_keep_none() {
    child::alone(|| {
        let set = Set::scattered(200, LARGE);
        freestone::thread_idle();
        assert_eq!(freestone::stats().binned, 0, "after `thread_idle`");
        set.drop_all();
        let set = Set::scattered(200, LARGE);
        freestone::purge();
        assert_eq!(freestone::stats().binned, 0, "after `purge`");
        set.drop_all();
        let in_thread = thread::spawn(|| {
            let set = Set::scattered(200, LARGE);
            assert_ne!(set.class().binned, 0);
        });
        in_thread.join().expect("no fault");
        assert_eq!(freestone::stats().binned, 0, "after the thread's end");
    });
}

/// In whatever order: blocks in a bin whose slab has few others leave it.
#[test]
fn a_bin_keeps_no_slab_from_falling_empty() {
    child::alone(|| {
        let before = class_of(500).slabs;
        for stride in [1, 7, 64, 1009] {
            let mut set = Set::scattered(500, LARGE);
            let peak = set.class().slabs;
            for from in 0..stride {
                (from..set.blocks.len()).step_by(stride).for_each(|number| {
                    set.free(number);
                });
            }
            let after = set.class().slabs;
            // The current one, and one that was put aside.
            assert!(peak > 90 && after <= before + 2, "{stride}: {before} slabs, {peak}, {after}");
        }
    });
}

/// The block's neighbours are the other thread's, which may be writing there.
#[test]
fn a_block_of_another_thread_is_not_kept() {
    child::alone(|| {
        let theirs = Set::scattered(72, LARGE);
        let start = theirs.blocks[100].expose_provenance();
        let next = thread::spawn(move || {
            let mut own = Set::scattered(72, LARGE);
            let binned = own.class().binned;
            // SAFETY: the other thread does not use the block any more.
            unsafe { dealloc(ptr::with_exposed_provenance_mut(start), layout(72, 8)) };
            assert_eq!(own.class().binned, binned);
            own.grow(binned);
            own.blocks.iter().any(|block| block.addr() == start)
        });
        assert!(!next.join().expect("no fault"));
    });
}

#[test]
fn where_every_free_is_checked_there_are_none() {
    let job = || {
        let _set = Set::scattered(200, LARGE);
        assert_eq!(freestone::stats().binned, 0);
    };
    if let Some(child) = Child::new("checked", job) {
        child.env("FREESTONE_CHECK_FREES", "1").succeeds();
    }
}

#[test]
fn the_block_freed_last_is_not_freed_again() {
    dies_by_report("double free", || {
        let mut set = Set::scattered(200, LARGE);
        let start = announce(set.free(7));
        // SAFETY: none: this is the misuse to be seen.
        unsafe { dealloc(start, layout(200, 8)) };
    });
}

/// In debug builds at once, else when the block leaves the bin.
#[test]
fn a_block_in_a_bin_is_not_freed_again() {
    dies_by_report("double free", || {
        let mut set = Set::scattered(200, LARGE);
        let start = announce(set.free(7));
        set.free(3000);
        // SAFETY: none: this is the misuse to be seen.
        unsafe { dealloc(start, layout(200, 8)) };
        freestone::thread_idle();
    });
}

#[test]
fn a_block_in_a_bin_is_not_freed_again_without_a_layout() {
    dies_by_report("double free", || {
        let mut set = Set::scattered(200, LARGE);
        let start = announce(set.free(7));
        set.free(3000);
        // SAFETY: none: this is the misuse to be seen.
        unsafe { freestone::untyped::free(start) };
    });
}

/// Blocks of one class, by whichever way they are asked for: a bin serves all of them, and loses
/// none.
#[test]
fn other_ways_to_a_block_take_from_the_bin() {
    child::alone(|| {
        let set = Set::scattered(192, LARGE);
        let binned = set.class().binned;
        assert!(binned >= 3);
        let own = layout(192, 8);
        let over_aligned = layout(192, 64);
        // SAFETY: no size is zero, and each block is freed once as it was asked for.
        unsafe {
            // Else the compiler, which knows their alignment, may leave them out.
            let blocks = black_box([alloc(over_aligned), alloc_zeroed(own)]);
            assert!(blocks.iter().all(|start| !start.is_null() && start.addr() % 64 == 0));
            let untyped = freestone::untyped::allocate(192);
            assert_eq!(set.class().binned, binned - 3);
            freestone::untyped::free(untyped);
            dealloc(blocks[0], over_aligned);
            dealloc(blocks[1], own);
        }
        assert_eq!(set.class().binned, binned);
        set.drop_all();
    });
}
