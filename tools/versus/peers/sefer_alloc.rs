//! sefer-alloc, in the set of features that it calls production.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: sefer_alloc::SeferAlloc = sefer_alloc::SeferAlloc::new();

/// sefer-alloc offers no way to ask for memory back.
fn purge() {}

fn main() -> ExitCode {
    freestone_versus::peer::main(purge)
}
