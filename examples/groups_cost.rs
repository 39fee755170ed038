//! What groups cost: time to enter and leave, time of a pair inside and outside, and the memory of
//! many small groups.
//!
//! ```text
//! cargo run --release --example groups_cost
//! ```

use std::hint::black_box;
use std::time::Instant;

use freestone::groups::Group;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

static GROUP: Group = Group::new("cost");

const ROUNDS: u32 = 5_000_000;

/// Nanoseconds of one round, the least of five measurements.
fn nanoseconds(mut round: impl FnMut(u32)) -> f64 {
    let measure = |_| {
        let start = Instant::now();
        (0..ROUNDS).for_each(&mut round);
        start.elapsed().as_nanos() as f64 / f64::from(ROUNDS)
    };
    (0..5).map(measure).fold(f64::MAX, f64::min)
}

/// Resident bytes of the process.
fn resident() -> usize {
    freestone::stats().with_resident().resident.unwrap_or(0)
}

/// Bytes that `count` groups with a live block each make resident, and mapped, apiece.
fn small_groups(count: usize) -> (usize, usize) {
    let mut groups = Vec::with_capacity(count);
    let before = (resident(), freestone::stats().mapped);
    for number in 0..count {
        let group = Group::create("small");
        let block = group.enter(|| Box::new(number));
        groups.push((group, block));
    }
    let after = (resident(), freestone::stats().mapped);
    (after.0.saturating_sub(before.0) / count, after.1.saturating_sub(before.1) / count)
}

fn main() {
    // First: what ends is used again.
    for count in [10, 1_000, 10_000] {
        let (resident, mapped) = small_groups(count);
        println!("{count:>6} groups with one block each: {resident} bytes resident, {mapped} mapped, each");
    }
    println!("enter and leave   {:6.1} ns", nanoseconds(|_| drop(black_box(GROUP.entered()))));
    println!("a box outside     {:6.2} ns", nanoseconds(|round| drop(black_box(Box::new(round)))));
    let inside = GROUP.enter(|| nanoseconds(|round| drop(black_box(Box::new(round)))));
    println!("a box inside      {inside:6.2} ns");
    let mut groups_one_after_another = 0;
    let made = nanoseconds_of_groups(&mut groups_one_after_another);
    println!("make, use and end {made:6.1} ns ({groups_one_after_another} groups)");
}

/// Nanoseconds to make a group, allocate a block in it, free that and end the group.
fn nanoseconds_of_groups(made: &mut u32) -> f64 {
    let start = Instant::now();
    const GROUPS: u32 = 200_000;
    for number in 0..GROUPS {
        let group = Group::create("short");
        drop(group.enter(|| black_box(Box::new(number))));
        *made += 1;
    }
    start.elapsed().as_nanos() as f64 / f64::from(GROUPS)
}
