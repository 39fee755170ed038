//! snmalloc, as the `snmalloc-rs` crate builds it.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: snmalloc_rs::SnMalloc = snmalloc_rs::SnMalloc::new();

/// snmalloc's crate offers no way to ask for memory back.
fn purge() {}

fn main() -> ExitCode {
    freestone_versus::peer::main(purge)
}
