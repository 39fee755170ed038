//! Off Linux: the same face, forwarding to the system's allocator.

use std::alloc::{GlobalAlloc, Layout, System};

use crate::freestone::Freestone;

// SAFETY: every call is forwarded unchanged.
unsafe impl GlobalAlloc for Freestone {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract is `System`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

/// Does nothing off Linux, and says so.
pub fn purge() -> bool {
    false
}

/// Does nothing off Linux.
pub fn thread_idle() {}
