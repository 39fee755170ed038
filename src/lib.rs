//! Freestone: a general-purpose memory allocator in pure Rust for Linux.

use std::alloc::{GlobalAlloc, Layout, System};

/// The allocator; one static of it is the program's global allocator.
#[derive(Debug)]
pub struct Freestone {
    _private: (),
}

impl Freestone {
    /// The allocator with its default options.
    #[must_use]
    pub const fn new() -> Self {
        Self { _private: () }
    }
}

impl Default for Freestone {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: every call is forwarded unchanged to the system allocator.
unsafe impl GlobalAlloc for Freestone {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract is System's contract.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is System's contract.
        unsafe { System.dealloc(ptr, layout) }
    }
}
