//! The system's allocator: glibc's malloc.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: std::alloc::System = std::alloc::System;

fn purge() {
    // SAFETY: may be called at any time, by any thread.
    unsafe { libc::malloc_trim(0) };
}

fn main() -> ExitCode {
    freestone_versus::peer::main(purge)
}
