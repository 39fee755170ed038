//! rusty_alloc: mimalloc 2, remade in Rust.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: rusty_alloc_api::RustyAlloc = rusty_alloc_api::RustyAlloc;

fn purge() {
    rusty_alloc::alloc::collect(true);
}

fn main() -> ExitCode {
    freestone_versus::peer::main(purge)
}
