//! Running the stress test, briefly.

use std::process::{Command, Output};

/// Runs it with `arguments`.
pub(crate) fn stress(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_freestone-stress"))
        .args(arguments)
        .output()
        .expect("the stress test can be started")
}

/// What it wrote to standard error.
pub(crate) fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
