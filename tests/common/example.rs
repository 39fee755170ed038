//! The examples, as programs.

use std::process::Command;

/// The example as `cargo test` has built it, beside the directory this test runs from.
pub(crate) fn example(name: &str) -> Command {
    let test = std::env::current_exe().expect("a test knows where it is");
    let profile = test.ancestors().nth(2).expect("target/<profile>/deps/<test>");
    let example = profile.join("examples").join(name);
    assert!(
        example.is_file(),
        "{} is missing: `cargo test` builds it, `cargo test --test` alone doesn't; run `cargo build --example {name}`",
        example.display()
    );
    Command::new(example)
}
