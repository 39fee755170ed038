//! What a block holds says nothing of how long its free takes, also where it holds what a free one
//! does.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod common;

use common::{Language, Linked, compile, preloaded, succeed, text};

/// So much longer may it take, at worst: the slow path and noise. A walk through a slab's list
/// takes 300 times as long.
const MOST: u64 = 30;
/// Frees in a run of the program.
const FREES: u64 = 8192;

#[test]
fn what_a_free_block_holds_costs_no_walk() {
    let program = compile("contents.c", "contents", Language::C, Linked::No);
    for size in ["16", "24", "40", "64", "256", "1000", "4096"] {
        let said = text(&succeed(preloaded(&program).arg(size)).stdout);
        assert_eq!(said.lines().count(), 2, "{said}");
        for line in said.lines() {
            let times: Vec<u64> = line.split(' ').map(|number| number.parse().expect("a number")).collect();
            let [ordinary, marked] = times[..] else { panic!("{line}") };
            let bound = ordinary.max(5 * FREES) * MOST;
            assert!(
                marked <= bound,
                "{size} bytes: {marked} ns for {FREES} frees, ordinary ones {ordinary} ns"
            );
        }
    }
}
