//! Inside a group the fast path is the default one, to the instruction.
#![cfg(all(target_arch = "x86_64", not(debug_assertions)))]
#![cfg(not(any(feature = "asan", feature = "profile", feature = "secure", feature = "valgrind")))]

mod common;

use std::hint::black_box;

use common::cost::cost;
use freestone::groups::Group;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

static GROUP: Group = Group::new("boxes");

const PAIRS: u64 = 100;

#[inline(never)]
fn boxes(pairs: u64) {
    for i in 0..pairs {
        black_box(Box::new(i));
    }
}

/// The instructions of one pair in a loop of them.
fn pair(mut pairs: impl FnMut(u64)) -> u64 {
    // The slab is open, and the heap taken, afterwards.
    pairs(2);
    let few = cost(|| pairs(PAIRS));
    let many = cost(|| pairs(2 * PAIRS));
    (many - few) / PAIRS
}

#[test]
fn a_box_costs_in_a_group_what_it_costs_outside() {
    let outside = pair(boxes);
    let inside = GROUP.enter(|| pair(boxes));
    println!("{outside} instructions outside, {inside} inside");
    assert!(inside <= outside && outside <= 34, "{inside} {outside}");
}

#[test]
fn entering_and_leaving_is_a_few_hundred_instructions() {
    let around = pair(|pairs| (0..pairs).for_each(|_| drop(black_box(GROUP.entered()))));
    println!("{around} instructions to enter and leave");
    assert!(around <= 250, "{around}");
}
