//! `populate`: what is faulted in with a slab goes back with it, and counts as committed until
//! then.

mod common;

use std::hint::black_box;

use common::memory::resident;
use common::{KIB, MIB};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new().populate(true);

/// Blocks of which few make a slab of several units: one of each class from 9 to 64 KiB.
fn sizes() -> impl Iterator<Item = usize> {
    (0..24).map(|step| {
        let base = (8 * KIB) << (step / 8);
        base + base / 8 * (step % 8 + 1)
    })
}

/// Slack for the test's own memory, and for what a heap keeps of its current slabs.
const SLACK: usize = MIB + MIB / 2;

fn assert_all_is_committed(before: usize, when: &str) {
    let committed = freestone::stats().committed;
    let more = resident().saturating_sub(before);
    assert!(more <= committed + SLACK, "{when}: {more} bytes more resident, {committed} committed");
}

#[test]
fn populated_units_go_back_and_are_committed_until_then() {
    let before = resident();
    let mut survivors = Vec::new();
    let mut blocks: Vec<Vec<u8>> = Vec::with_capacity(100);
    for (step, size) in sizes().enumerate() {
        blocks.push(black_box(Vec::with_capacity(size)));
        // In a slab of its own, so that no chunk falls empty and is unmapped whole.
        survivors.push(black_box(Vec::<u8>::with_capacity(80 + 16 * step)));
    }
    let in_use = resident();
    assert!(in_use > before + 6 * MIB, "the slabs were faulted in: {before} before, {in_use} now");
    assert_all_is_committed(before, "in use");
    drop(blocks);
    assert_all_is_committed(before, "freed");
    freestone::purge();
    assert_all_is_committed(before, "purged");
    // The survivors' slabs stay, each a unit.
    let kept = survivors.len() * 64 * KIB;
    let now = resident();
    assert!(now <= before + kept + SLACK, "{before} before, {now} after a purge, of which {kept} are kept");
    drop(survivors);
}
