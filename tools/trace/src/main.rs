//! Records what a program asks of its allocator, shows it, and replays it on others.

mod tool;

use std::process::ExitCode;

fn main() -> ExitCode {
    tool::main()
}
