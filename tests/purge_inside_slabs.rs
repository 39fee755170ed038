//! Pages inside the free blocks of slabs that other blocks keep go back: by a purge, and with time.

mod common;

use std::thread;
use std::time::{Duration, Instant};

use common::block::{Block, layout};
use common::child::{self, Child};
use common::{KIB, MIB, memory, skip};

/// Nothing goes back with time, but where a test asks for that.
#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new().purge_delay(Duration::from_secs(3600));

const BLOCK: usize = 32 * KIB;
const BLOCKS: usize = 1024;
/// So few that an ended thread leaves them: more goes back as it ends.
const FEW: usize = 120;
/// One block in so many stays: every slab has one.
const STAYS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(60);

/// A block of several pages is cut from a slab with others only where pages are small.
fn has_pages_inside() -> bool {
    memory::page_bytes() * 8 <= BLOCK
}

fn block() -> Block {
    Block::new(layout(BLOCK, 8), BLOCK)
}

/// What may stay: in the `secure` build a free block keeps the page with its link, and two in part.
const fn limit(blocks: usize) -> usize {
    blocks / STAYS * BLOCK + blocks * 12 * KIB + MIB
}

/// So many blocks of which most were freed. They check their contents when they are dropped.
fn survivors(blocks: usize) -> Vec<Block> {
    let blocks: Vec<Block> = (0..blocks).map(|_| block()).collect();
    blocks.into_iter().enumerate().filter(|(index, _)| index % STAYS == 0).map(|(_, block)| block).collect()
}

/// Resident before the next blocks; what has to be there once is there then.
fn before() -> usize {
    drop(block());
    freestone::purge();
    memory::resident()
}

/// The blocks whose pages went back are good ones.
fn use_all_again(survivors: Vec<Block>) {
    drop((0..BLOCKS).map(|_| block()).collect::<Vec<Block>>());
    drop(survivors);
}

/// A purge leaves little more than the survivors of so many blocks that `make` makes.
fn a_purge_gives_back(blocks: usize, make: fn(usize) -> Vec<Block>) {
    if !has_pages_inside() {
        skip!("pages are as long as the blocks of a slab with several");
    }
    // Else the thread of another test may end here, and leave what is then used again.
    child::alone(|| {
        let before = before();
        let survivors = make(blocks);
        let resident = memory::resident() - before;
        assert!(resident > limit(blocks), "only {resident} bytes were resident, not {}", limit(blocks));
        freestone::purge();
        assert!(memory::resident() - before < limit(blocks));
        use_all_again(survivors);
    });
}

#[test]
fn of_the_own_heap_by_a_purge() {
    a_purge_gives_back(BLOCKS, survivors);
}

#[test]
fn of_a_thread_that_has_ended() {
    a_purge_gives_back(FEW, |blocks| {
        thread::spawn(move || survivors(blocks)).join().expect("no thread fails")
    });
}

#[test]
fn with_time() {
    if !has_pages_inside() {
        skip!("pages are as long as the blocks of a slab with several");
    }
    if let Some(child) = Child::new("with_time", goes_back_with_time) {
        child.env("FREESTONE_PURGE_DELAY_MS", "5").succeeds();
    }
}

fn goes_back_with_time() {
    let before = before();
    let survivors = survivors(BLOCKS);
    let started = Instant::now();
    while memory::resident() - before >= limit(BLOCKS) {
        assert!(started.elapsed() < PATIENCE, "{} resident", memory::resident() - before);
        // Something else goes on, which takes slow paths.
        drop((0..4).map(|_| Block::new(layout(MIB / 8, 8), 0)).collect::<Vec<Block>>());
        thread::sleep(Duration::from_millis(2));
    }
    use_all_again(survivors);
}
