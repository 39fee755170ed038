//! Short blocks: a page without a used block goes back, by a purge, with time and as a thread ends;
//! its blocks are good ones afterwards, and a second free of one is found.

mod common;

use std::thread;

use common::block::{Block, layout};
use common::{KIB, MIB};
use common::{child, report};
use freestone::untyped;

#[global_allocator]
static ALLOC: freestone::Freestone =
    freestone::Freestone::new().purge_delay(std::time::Duration::from_millis(5));

/// Short, odd and of several pages: links lie on borders of pages, and pages on borders of blocks.
const SIZES: [usize; 8] = [16, 24, 104, 640, 1000, 3000, 5 * KIB, 20 * KIB];
const BYTES: usize = 8 * MIB;
/// One block in so many bytes stays.
const STAYS: usize = 64 * KIB;

/// Blocks of which few are left. They check their contents when they are dropped.
fn survivors(size: usize) -> Vec<Block> {
    let blocks: Vec<Block> = (0..BYTES / size).map(|tag| Block::new(layout(size, 8), tag)).collect();
    let each = (STAYS / size).max(2);
    // Not collected: that would be in the place of the others.
    let mut stay = Vec::new();
    blocks.into_iter().step_by(each).for_each(|block| stay.push(block));
    stay
}

/// All of the memory is used again and again beside what stays, which is checked at last.
fn use_again(size: usize, survivors: Vec<Block>) {
    for _ in 0..2 {
        let more: Vec<Block> = (0..BYTES / size).map(|tag| Block::new(layout(size, 8), tag)).collect();
        let (kept, gone): (Vec<_>, Vec<_>) = more.into_iter().enumerate().partition(|(at, _)| at % 3 == 0);
        drop(gone);
        freestone::purge();
        drop(kept);
    }
    drop(survivors);
}

/// In the `secure` build the pages with links and canaries stay.
#[cfg(not(feature = "secure"))]
mod pages {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::common::memory;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// What may stay resident with those survivors: the pages that they lie in, and as much again.
    fn limit(size: usize) -> usize {
        let page = memory::page_bytes();
        let survivors = BYTES / (STAYS / size).max(2) / size;
        (survivors * (size + 2 * page)).min(BYTES * 3 / 4) + 2 * MIB
    }

    fn before() -> usize {
        freestone::purge();
        memory::resident()
    }

    #[test]
    fn a_purge_gives_pages_without_a_used_block_back() {
        let _alone = common::alone();
        for size in SIZES {
            let before = before();
            let survivors = survivors(size);
            freestone::purge();
            let left = memory::resident().saturating_sub(before);
            assert!(left < limit(size), "{size}: {left} bytes of {} at most", limit(size));
            use_again(size, survivors);
        }
    }

    #[test]
    fn so_does_time() {
        let _alone = common::alone();
        let before = before();
        let size = 104;
        let survivors = survivors(size);
        let started = Instant::now();
        while memory::resident().saturating_sub(before) >= limit(size) {
            assert!(started.elapsed() < PATIENCE, "{} resident", memory::resident() - before);
            // Something else goes on, which takes slow paths.
            drop((0..4).map(|_| Block::new(layout(MIB / 8, 8), 0)).collect::<Vec<Block>>());
            thread::sleep(Duration::from_millis(2));
        }
        use_again(size, survivors);
    }

    #[test]
    fn so_does_the_end_of_a_thread_that_leaves_much() {
        let _alone = common::alone();
        for size in SIZES {
            let before = before();
            let survivors = thread::spawn(move || survivors(size)).join().expect("no thread fails");
            // Whole slabs and ranges go with time, or stay for the next demand.
            let left = memory::resident().saturating_sub(before);
            let stats = freestone::stats();
            let whole = stats.dirty + stats.retained;
            assert!(left < limit(size) + whole, "{size}: {left} bytes, of which {whole} are whole ones");
            use_again(size, survivors);
        }
    }
}

#[test]
fn others_free_into_purged_slabs() {
    let _alone = common::alone();
    for size in SIZES {
        let mut survivors = survivors(size);
        freestone::purge();
        let half = survivors.split_off(survivors.len() / 2);
        thread::spawn(move || drop(half)).join().expect("no thread fails");
        freestone::purge();
        use_again(size, survivors);
    }
}

/// A block of that size whose page has gone back: it was freed.
fn absent_block(size: usize) -> *mut u8 {
    let blocks: Vec<*mut u8> = (0..8 * MIB / size).map(|_| untyped::allocate(size)).collect();
    // Every slab has one that stays.
    let each = STAYS / 4 / size;
    // In the middle between two of those.
    let twice = blocks[5 * each + each / 2];
    for (index, block) in blocks.iter().enumerate().filter(|(index, _)| index % each != 0) {
        assert!(index != 0);
        // SAFETY: allocated above, and freed once.
        unsafe { untyped::free(*block) };
    }
    freestone::purge();
    twice
}

#[test]
fn a_second_free_is_found() {
    for size in [16, 104, 1000, 5 * KIB] {
        let free_twice = || {
            let block = report::announce(absent_block(size));
            // SAFETY: none: this is the fault that is to be found.
            unsafe { untyped::free(block) };
        };
        if let Some(child) = child::Child::new(size, free_twice) {
            report::dies_of(child, size, "double free");
        }
    }
}

/// By the owner, as it takes the blocks of other threads in; the report names the slab.
#[cfg(not(feature = "secure"))]
#[test]
fn so_is_one_by_another_thread() {
    const UNIT: usize = 64 * KIB;
    for size in [16, 104, 1000] {
        let free_twice = || {
            let block = absent_block(size);
            report::announce(block.with_addr(block.addr() / UNIT * UNIT));
            let block = block.expose_provenance();
            let free = move || {
                // SAFETY: none: this is the fault that is to be found.
                unsafe { untyped::free(std::ptr::with_exposed_provenance_mut(block)) }
            };
            thread::spawn(free).join().expect("no thread fails");
            freestone::purge();
        };
        if let Some(child) = child::Child::new(size, free_twice) {
            report::dies_of(child, size, "double free by another thread, in the slab");
        }
    }
}

/// Of a block whose first word is in a page that has gone back, and the second in one that stays.
#[cfg(not(feature = "secure"))]
#[test]
fn so_is_one_of_a_block_across_a_border() {
    const SIZE: usize = 24;
    // SAFETY: the size is not zero.
    let get = || unsafe { std::alloc::alloc(layout(SIZE, 8)) };
    let free_twice = || {
        // Made before: what a thread takes could be blocks of that slab.
        use std::sync::atomic::{AtomicUsize, Ordering};
        static TWICE: AtomicUsize = AtomicUsize::new(0);
        let thread = thread::spawn(|| {
            while TWICE.load(Ordering::Acquire) == 0 {
                thread::yield_now();
            }
            let block = std::ptr::with_exposed_provenance_mut(TWICE.load(Ordering::Acquire));
            // SAFETY: none: this is the fault that is to be found.
            unsafe { std::alloc::dealloc(block, layout(SIZE, 8)) }
        });
        let mut blocks: Vec<*mut u8> = (0..MIB / SIZE).map(|_| get()).collect();
        blocks.sort_unstable();
        let page = common::memory::page_bytes();
        let is_across =
            |pair: &[*mut u8]| pair[0].addr() % page == page - 8 && pair[1].addr() == pair[0].addr() + SIZE;
        let at = blocks.windows(2).skip(2 * page / SIZE).position(is_across).expect("one in three pages")
            + 2 * page / SIZE;
        let (twice, stays) = (blocks[at], blocks[at + 1]);
        for block in blocks.into_iter().filter(|block| *block != stays) {
            // SAFETY: allocated above, and freed once.
            unsafe { std::alloc::dealloc(block, layout(SIZE, 8)) };
        }
        freestone::purge();
        TWICE.store(report::announce(twice).expose_provenance(), Ordering::Release);
        thread.join().expect("no thread fails");
        freestone::purge();
    };
    if let Some(child) = child::Child::new(0, free_twice) {
        report::dies_of(child, SIZE, "double free by another thread");
    }
}
