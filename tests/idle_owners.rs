//! What other threads freed for a thread that does not come by, since it only waits, is reused and
//! given back without it.

mod common;

use std::alloc::{Layout, alloc, dealloc};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
#[cfg(feature = "background-purge")]
use std::time::{Duration, Instant};

use common::block::layout;
use common::memory::{page_bytes, resident};
use common::{KIB, MIB, child};
use freestone::HugePagePolicy;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new().huge_pages(HugePagePolicy::Never);

const HELD: usize = 64 * MIB;
const OWNERS: usize = 8;

struct Touched(*mut u8, Layout);

// SAFETY: a block is memory that only its holder touches.
unsafe impl Send for Touched {}

impl Touched {
    /// A block with something on each page.
    fn new(size: usize) -> Self {
        let layout = layout(size, 8);
        // SAFETY: the size is not zero.
        let start = unsafe { alloc(layout) };
        assert!(!start.is_null());
        for at in (0..size).step_by(page_bytes().min(size)) {
            // SAFETY: the byte lies in the block.
            unsafe { start.byte_add(at).write_volatile(1) };
        }
        Self(start, layout)
    }
}

impl Drop for Touched {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout, and freed once.
        unsafe { dealloc(self.0, self.1) };
    }
}

/// `HELD` bytes of blocks of half to one and a half times `size`.
fn build(size: usize) -> Vec<Touched> {
    let mut blocks = Vec::with_capacity(HELD / size * 2);
    let mut held = 0;
    while held < HELD {
        let block = size / 2 + blocks.len() * 7919 % size;
        held += block;
        blocks.push(Touched::new(block));
    }
    blocks
}

/// A thread that has built `make()`, handed it over, and waits until it is dropped.
struct Owner {
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Owner {
    fn new<T: Send + 'static>(make: impl FnOnce() -> T + Send + 'static) -> (Self, T) {
        let done = Arc::new(AtomicBool::new(false));
        let (send, receive) = std::sync::mpsc::sync_channel(1);
        let its = done.clone();
        let thread = thread::spawn(move || {
            send.send(make()).expect("somebody waits for it");
            while !its.load(Ordering::Relaxed) {
                thread::park();
            }
        });
        let made = receive.recv().expect("the thread makes it");
        (Self { done, thread: Some(thread) }, made)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("joined once");
        thread.thread().unpark();
        thread.join().expect("no thread fails");
    }
}

/// One after the other builds, and what it built is freed here. Returns what was resident before,
/// and the owners.
fn in_turn(size: usize, keep: impl Fn(usize) -> bool) -> (usize, Vec<Owner>, Vec<Touched>) {
    let before = resident();
    let (mut owners, mut kept) = (Vec::new(), Vec::new());
    for _ in 0..OWNERS {
        let (owner, blocks) = Owner::new(move || build(size));
        owners.push(owner);
        kept.extend(blocks.into_iter().enumerate().filter(|(index, _)| keep(*index)).map(|(_, block)| block));
        let now = resident() - before;
        println!("{size}: {} MiB resident after {} owners", now / MIB, owners.len());
        let live = HELD + kept.iter().map(|block: &Touched| block.1.size()).sum::<usize>();
        assert!(now < 2 * live, "{now} bytes of blocks of {size} resident, {live} live at a time");
    }
    (before, owners, kept)
}

/// What a purge may leave: a current slab a class, its outboxes' a thread.
const LEFT: usize = 24 * MIB;

fn is_reused_and_purged(size: usize) {
    let (before, owners, _) = in_turn(size, |_| false);
    freestone::purge();
    let now = resident() - before;
    println!("{size}: {} MiB after a purge", now / MIB);
    assert!(now < LEFT, "{now} bytes of blocks of {size} resident after a purge");
    drop(owners);
}

#[test]
fn short_blocks_are_reused_and_given_back() {
    child::succeeds("short_blocks_are_reused_and_given_back", || is_reused_and_purged(500));
}

#[test]
fn long_blocks_are_reused_and_given_back() {
    child::succeeds("long_blocks_are_reused_and_given_back", || is_reused_and_purged(20 * KIB));
}

/// One block in sixteen stays, in every slab: the others' places are used by the next thread.
#[test]
fn places_between_others_are_reused() {
    child::succeeds("places_between_others_are_reused", || {
        let (_, owners, kept) = in_turn(500, |index| index % 16 == 0);
        assert!(kept.len() > OWNERS * HELD / 500 / 20);
        drop((owners, kept));
    });
}

/// The owner has freed the first block of each slab itself, so that it may free into it at any
/// moment.
#[test]
fn a_purge_gives_back_what_an_owner_has_freed_in_part() {
    child::succeeds("a_purge_gives_back_what_an_owner_has_freed_in_part", || {
        let before = resident();
        let (owner, blocks) = Owner::new(|| {
            let blocks = build(500);
            let (own, others) =
                blocks.into_iter().enumerate().partition::<Vec<_>, _>(|(index, _)| index % 64 == 0);
            drop(own);
            others
        });
        drop(blocks);
        freestone::purge();
        let now = resident() - before;
        assert!(now < 8 * MIB, "{now} bytes resident after a purge");
        drop(owner);
    });
}

/// An owner whose slabs were taken while it slept works on as ever, and their chunks go then.
#[test]
fn an_owner_that_wakes_works_on() {
    child::succeeds("an_owner_that_wakes_works_on", || {
        for _ in 0..3 {
            let (go, wait) = std::sync::mpsc::sync_channel::<Vec<Touched>>(1);
            let (send, receive) = std::sync::mpsc::sync_channel::<Vec<Touched>>(1);
            let owner = thread::spawn(move || {
                send.send(build(3000)).expect("somebody waits for it");
                for mut some in wait {
                    some.truncate(some.len() / 2);
                    some.extend(build(2000).into_iter().step_by(3));
                    drop(some);
                }
            });
            for _ in 0..2 {
                let mut blocks = build(3000);
                blocks.extend(receive.try_recv().ok().into_iter().flatten().skip(1));
                freestone::purge();
                drop(blocks.split_off(blocks.len() / 2));
                freestone::purge();
                go.send(blocks).expect("the owner listens");
            }
            drop(go);
            owner.join().expect("no thread fails");
        }
    });
}

/// Idleness is enough where a thread purges.
#[cfg(feature = "background-purge")]
#[test]
fn the_purger_gives_it_back() {
    child::succeeds("the_purger_gives_it_back", || {
        let (before, owners, _) = in_turn(500, |_| false);
        let unchanged_mark = Instant::now();
        while resident() > before + LEFT {
            assert!(
                unchanged_mark.elapsed() < Duration::from_secs(60),
                "{} bytes resident",
                resident() - before
            );
            thread::sleep(Duration::from_millis(50));
        }
        drop(owners);
    });
}
