//! `populate`: a new slab's pages are there before they are touched.

mod common;

use std::hint::black_box;

use common::memory::{page_bytes, resident};
use common::{KIB, MIB};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new().populate(true);

#[test]
fn pages_are_there_before_they_are_touched() {
    assert!(page_bytes() <= 16 * KIB);
    let before = resident();
    // Each a slab of its own, and none is written to.
    let blocks: Vec<Vec<u8>> = (0..32).map(|_| black_box(Vec::with_capacity(900 * KIB))).collect();
    let after = resident();
    assert!(after > before + 24 * MIB, "{before} bytes resident before, {after} after");
    drop(blocks);
}
