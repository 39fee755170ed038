//! rpmalloc, as the `rpmalloc-sys` crate builds it.
//!
//! The `rpmalloc` crate above it has no `realloc` of its own, so that each one
//! would be an allocation, a copy and a free; here rpmalloc's own is called.

use std::alloc::{GlobalAlloc, Layout};
use std::process::ExitCode;

use rpmalloc_sys as sys;

#[global_allocator]
static ALLOCATOR: Rpmalloc = Rpmalloc;

struct Rpmalloc;

// SAFETY: every call goes to the function of rpmalloc with the same contract.
unsafe impl GlobalAlloc for Rpmalloc {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the alignment is a power of two.
        unsafe { sys::rpaligned_alloc(layout.align(), layout.size()) }.cast()
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { sys::rpaligned_calloc(layout.align(), 1, layout.size()) }.cast()
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _layout: Layout) {
        // SAFETY: the caller says that the block is ours and live.
        unsafe { sys::rpfree(block.cast()) };
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above; no flags.
        unsafe { sys::rpaligned_realloc(block.cast(), layout.align(), size, layout.size(), 0) }.cast()
    }
}

fn purge() {
    // SAFETY: this thread has allocated, so rpmalloc knows it.
    unsafe { sys::rpmalloc_thread_collect() };
}

fn main() -> ExitCode {
    freestone_versus::peer::main(purge)
}
