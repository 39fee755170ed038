//! Freestone.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: freestone::Freestone = freestone::Freestone::new();

/// Freestone's own way of giving memory back when asked.
fn purge() {
    freestone::purge();
}

fn main() -> ExitCode {
    freestone_versus::peer::main(purge)
}
