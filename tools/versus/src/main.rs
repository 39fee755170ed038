//! Measures Freestone against its peers on this machine, honestly.

mod runner;

use std::process::ExitCode;

fn main() -> ExitCode {
    runner::main()
}
