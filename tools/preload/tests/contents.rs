//! What a block holds says nothing of how much work its free is, also where it holds what a free
//! one does.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod common;

use common::{Language, Linked, compile, preloaded, succeed, text};

/// So much more may it cost, at worst: the slow path. A walk through a slab's list costs hundreds
/// of times as much.
const MOST: u64 = 30;

#[test]
fn what_a_free_block_holds_costs_no_walk() {
    let program = compile("contents.c", "contents", Language::C, Linked::No);
    for size in ["16", "24", "40", "64", "256", "1000", "4096"] {
        let said = text(&succeed(preloaded(&program).arg(size)).stdout);
        assert_eq!(said.lines().count(), 2, "{said}");
        for line in said.lines() {
            let costs: Vec<u64> = line.split(' ').map(|number| number.parse().expect("a number")).collect();
            let [ordinary, marked] = costs[..] else { panic!("{line}") };
            println!("{size} bytes: {marked}, ordinary ones {ordinary}");
            assert!(marked <= ordinary * MOST, "{size} bytes: {marked}, ordinary ones {ordinary}");
        }
    }
}
