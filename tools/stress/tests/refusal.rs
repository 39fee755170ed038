//! Null is survived where memory is refused, and the command line is refused where it is wrong.

use serde_json::Value;

mod common;
use common::{errors, stress};

fn survived(arguments: &[&str]) -> Value {
    let output = stress(&[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", errors(&output));
    serde_json::from_slice(&output.stdout).expect("a report")
}

#[test]
fn below_a_limit() {
    for threads in ["1", "3"] {
        let arguments = ["--threads", threads, "--seed", "3", "--ops", "4000", "--profile", "realloc"];
        let report = survived(&[&arguments[..], &["--limit-mb", "150"]].concat());
        assert!(report["tally"]["null_answers"].as_u64().expect("a count") > 0, "{report:#}");
    }
}

#[test]
fn in_moments_of_refusal() {
    for threads in ["1", "3"] {
        let arguments = ["--threads", threads, "--seed", "3", "--ops", "3000", "--profile", "churn"];
        let report = survived(&[&arguments[..], &["--faults", "0.05"]].concat());
        assert!(report["tally"]["moments_of_refusal"].as_u64().expect("a count") > 0, "{report:#}");
    }
}

#[test]
fn wrong_arguments_are_named_and_end_with_status_2() {
    for (arguments, named) in [
        (&["--threads", "0"][..], "--threads"),
        (&["--seconds", "5", "--ops", "5"], "--ops"),
        (&["--replay", "1", "--threads", "2"], "--threads"),
        (&["--faults", "1.5"], "--faults"),
        (&["--profile", "tiny"], "tiny"),
        (&["--limit-mb", "1"], "--limit-mb"),
        (&["--ops", "0"], "--ops"),
    ] {
        let output = stress(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(errors(&output).contains(named), "{arguments:?}: {}", errors(&output));
    }
}
