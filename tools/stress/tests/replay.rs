//! One thread does what the seed says, and nothing else; every profile passes a short run.

use serde_json::Value;

mod common;
use common::{errors, stress};

fn report(arguments: &[&str]) -> Value {
    let output = stress(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", errors(&output));
    serde_json::from_slice(&output.stdout).expect("a report")
}

#[test]
fn the_same_seed_does_the_same_and_another_does_not() {
    for profile in ["small", "churn", "realloc"] {
        let digest = |seed: &str| {
            let report = report(&["--replay", seed, "--ops", "5000", "--profile", profile, "--json"]);
            report["digest"].as_str().expect("a digest").to_owned()
        };
        let first = digest("11");
        assert_eq!(first, digest("11"), "{profile}");
        assert_ne!(first, digest("12"), "{profile}");
    }
}

/// The door without layouts, and both together.
#[test]
fn every_door_with_three_lanes() {
    for door in ["c", "both"] {
        for profile in ["small", "medium", "large", "realloc", "remote", "churn", "server"] {
            let arguments = ["--threads", "3", "--seed", "2", "--ops", "600", "--profile", profile];
            let report = report(&[&arguments[..], &["--json", "--live-mb", "128", "--door", door]].concat());
            assert_eq!(report["operations"], 1800, "{door} {profile}");
            assert_eq!((&report["outcome"], &report["door"]), (&"good".into(), &door.into()), "{profile}");
        }
    }
}

#[test]
fn every_profile_with_three_lanes() {
    for profile in ["small", "medium", "large", "realloc", "remote", "churn", "server"] {
        let arguments = ["--threads", "3", "--seed", "1", "--ops", "600", "--profile", profile];
        let report = report(&[&arguments[..], &["--json", "--live-mb", "128"]].concat());
        assert_eq!(report["operations"], 1800, "{profile}");
        assert_eq!(report["outcome"], "good", "{profile}");
        assert_eq!(report["books"]["freed"]["shadow_live"], 0, "{profile}");
        for field in ["operations_per_second", "p99_ns", "rss_peak_bytes", "rss_final_bytes"] {
            assert!(report[field].as_f64().expect(field) > 0.0, "{profile}: {field}");
        }
        assert!(report["worst"]["ns"].as_u64().expect("a worst call") > 0, "{profile}");
    }
}
