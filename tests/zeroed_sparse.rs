//! Zeroed memory that is reused costs what its user touches: little becomes resident where little
//! is written, and nothing is faulted in again where everything is.

mod common;

use std::alloc::{alloc, alloc_zeroed, dealloc};

use common::block::layout;
use common::memory::{page_bytes, page_faults, resident};
use common::{MIB, alone};
use freestone::HugePagePolicy;

// A huge page is resident as a whole.
#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new().huge_pages(HugePagePolicy::Never);

const LONG: usize = 64 * MIB;

/// A zeroed block of [`LONG`] bytes, written at `places`, each of which must read as zero before.
fn zeroed_and_written(places: impl Iterator<Item = usize>) -> usize {
    let layout = layout(LONG, 16);
    // SAFETY: the size is not zero.
    let start = unsafe { alloc_zeroed(layout) };
    assert!(!start.is_null());
    for at in places {
        assert!(at < LONG);
        // SAFETY: inside the block, which is all initialised.
        unsafe {
            assert_eq!(start.add(at).read(), 0, "at {at}");
            start.add(at).write(1);
        }
    }
    let resident = resident();
    // SAFETY: allocated with this layout, and given up here.
    unsafe { dealloc(start, layout) };
    resident
}

/// A hundred places, others each round.
fn few(round: usize) -> impl Iterator<Item = usize> {
    let mut state = round * 100 + 1;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 20) % LONG
    })
    .take(100)
}

fn every_page(bytes: usize) -> impl Iterator<Item = usize> {
    (0..bytes).step_by(page_bytes())
}

#[test]
fn a_table_of_which_little_is_written_stays_small() {
    let _alone = alone();
    freestone::purge();
    let before = resident();
    for round in 0..30 {
        let resident = zeroed_and_written(few(round));
        let grown = resident.saturating_sub(before);
        assert!(grown < 4 * MIB, "{grown} bytes became resident in round {round}");
    }
}

#[test]
fn also_where_all_of_the_range_was_used_before() {
    let _alone = alone();
    freestone::purge();
    let before = resident();
    let layout = layout(LONG, 16);
    // SAFETY: the size is not zero; filled, and given up with the same layout.
    unsafe {
        let start = alloc(layout);
        assert!(!start.is_null());
        start.write_bytes(0xa5, LONG);
        dealloc(start, layout);
    }
    let mut last = 0;
    for round in 0..4 {
        last = zeroed_and_written(few(round));
    }
    let grown = last.saturating_sub(before);
    assert!(grown < 8 * MIB, "{grown} bytes are still resident");
}

/// What is written all over is not given back each time.
#[test]
fn a_table_that_is_filled_keeps_its_pages() {
    let _alone = alone();
    for part in [1, 2] {
        let round = || {
            let before = page_faults();
            zeroed_and_written(every_page(LONG / part));
            page_faults() - before
        };
        let mut faults = 0;
        for _ in 0..6 {
            faults = round();
        }
        let pages = LONG / part / page_bytes();
        assert!(faults <= pages / 32, "{faults} faults for {pages} pages");
    }
}

/// The blocks of a slab as well.
#[test]
fn long_blocks_of_slabs_of_which_little_is_written_stay_small() {
    let _alone = alone();
    for size in [512 * 1024, MIB - 4096] {
        freestone::purge();
        let before = resident();
        let layout = layout(size, 16);
        for round in 0..4 {
            // SAFETY: the size is not zero.
            let zeroed = |_| unsafe { alloc_zeroed(layout) };
            let blocks: Vec<*mut u8> = (0..48).map(zeroed).collect();
            for (at, block) in blocks.iter().enumerate() {
                let place = (at * 7919 + round * 104_729) % size;
                // SAFETY: inside the block, which is all initialised.
                unsafe {
                    assert_eq!(block.add(place).read(), 0);
                    block.add(place).write(1);
                }
            }
            let grown = resident().saturating_sub(before);
            // SAFETY: allocated with this layout, and given up here.
            blocks.iter().for_each(|block| unsafe { dealloc(*block, layout) });
            assert!(
                grown < 6 * MIB,
                "{grown} bytes became resident in round {round}, of 48 blocks of {size}"
            );
        }
    }
}
