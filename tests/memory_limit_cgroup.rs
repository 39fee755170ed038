//! `memory_limit_from_cgroup`, and the variable in percent: the limit of the control group that the
//! program is started in.

mod common;

use std::hint;

use common::child::Child;
use common::group::Group;
use common::{MIB, skip};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new().memory_limit_from_cgroup::<50>();

/// In a group of at most 64 MiB.
#[test]
fn is_the_limit_of_the_group() {
    // What the program says, and what the environment says instead.
    for (case, variable, limit) in
        [("program", None, 33554), ("environment", Some(("FREESTONE_MEMORY_LIMIT", "60%")), 40265)]
    {
        let Some(child) = Child::new(case, || takes_less_than_the_limit(limit << 10)) else { continue };
        let Some(group) = Group::limited(&format!("limit-{case}"), 64 * MIB) else {
            skip!("no control group with a memory limit can be made")
        };
        let child = child.in_group(group.folder()).env("FREESTONE_VERBOSE", "1").envs(variable);
        let said = child.succeeds();
        assert!(said.contains(&format!("FREESTONE_MEMORY_LIMIT={limit}")), "{said}");
    }
}

fn takes_less_than_the_limit(limit: usize) {
    let mut block = Vec::<u8>::new();
    assert!(block.try_reserve_exact(limit).is_err(), "the program itself takes some of {limit}");
    assert!(block.try_reserve_exact(limit - 9 * MIB).is_ok());
    hint::black_box(block);
}
