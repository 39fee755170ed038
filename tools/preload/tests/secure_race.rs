//! In the secure build, of two threads that free a block at the same moment one is told, always.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod common;

use common::{Language, Linked, compile, preloaded, succeed, text};

const ROUNDS: usize = 6000;

#[test]
fn two_threads_that_free_a_block_at_once_are_told() {
    let program = compile("race.c", "race", Language::C, Linked::No);
    for size in ["64", "24", "1000"] {
        let output = succeed(preloaded(&program).arg(size).env("FREESTONE_ON_MISUSE", "report"));
        let reports = text(&output.stderr);
        let told = reports.lines().filter(|line| line.starts_with("freestone: double free at 0x")).count();
        assert_eq!(told, ROUNDS, "reports of {size} bytes");
        assert_eq!(reports.lines().count(), ROUNDS, "nothing else is reported");
        assert_eq!(text(&output.stdout), format!("{ROUNDS} rounds, 0 blocks with two callers\n"));
    }
}
