//! jemalloc 5, as the `tikv-jemallocator` crate builds it.

use std::ffi::CStr;
use std::process::ExitCode;
use std::ptr;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// This thread's cache, then every arena: 4096 is jemalloc's number for all.
const PURGES: [&CStr; 2] = [c"thread.tcache.flush", c"arena.4096.purge"];

fn purge() {
    for purge in PURGES {
        // SAFETY: the name is a C string, and these two read and write nothing.
        let refused = unsafe {
            tikv_jemalloc_sys::mallctl(purge.as_ptr(), ptr::null_mut(), ptr::null_mut(), ptr::null_mut(), 0)
        };
        debug_assert_eq!(refused, 0, "{purge:?}");
    }
}

fn main() -> ExitCode {
    freestone_versus::peer::main(purge)
}
