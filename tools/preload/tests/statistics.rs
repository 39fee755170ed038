//! What `mallinfo2` and `malloc_trim` say, and that they ask the kernel for nothing where nothing
//! has changed; the checks are in `programs/statistics.c`.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod common;

use common::{Language, Linked, Program, compile, run_scenario};

static PROGRAM: Program = Program::new();

fn check(scenario: &str) {
    let program = PROGRAM.path(|| compile("statistics.c", "statistics", Language::C, Linked::No));
    run_scenario(program, scenario, &[]);
}

#[test]
fn what_others_have_freed_is_not_in_use() {
    check("freed_elsewhere");
}

#[test]
fn by_the_clock_they_make_no_call() {
    check("by_the_clock");
}
