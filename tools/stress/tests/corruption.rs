//! A byte that changes in a live block is found, and everything promised is said about it.

use serde_json::Value;

mod common;
use common::{errors, stress};

const SPOILED: [&str; 8] =
    ["--ops", "3000", "--profile", "small", "--corrupt-after", "1500", "--live-mb", "64"];

#[test]
fn found_alone_and_said_with_what_where_seed_and_operation() {
    let output = stress(&[&["--replay", "5"], &SPOILED[..]].concat());
    assert_eq!(output.status.code(), Some(1));
    let errors = errors(&output);
    for promised in ["corruption", "what:", "expected", "found", "where:", "bytes aligned to", "operation: "]
    {
        assert!(errors.contains(promised), "{promised} is missing:\n{errors}");
    }
    assert!(errors.contains("seed:      5"), "{errors}");
    assert!(errors.contains("--replay 5 --ops 3000 --profile small"), "{errors}");
}

#[test]
fn found_again_at_the_same_operation() {
    let failure = || {
        let output = stress(&[&["--replay", "6", "--json"], &SPOILED[..]].concat());
        assert_eq!(output.status.code(), Some(1));
        serde_json::from_slice::<Value>(&output.stdout).expect("a report of the failure")
    };
    let first = failure();
    assert_eq!(first["outcome"], "corruption");
    assert!(first["operation"].as_u64().expect("an operation") >= 1500);
    assert_eq!(first, failure());
}

#[test]
fn found_among_lanes() {
    let output = stress(&[&["--threads", "4", "--seed", "7"], &SPOILED[..]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", errors(&output));
    assert!(errors(&output).contains("corruption"));
}
