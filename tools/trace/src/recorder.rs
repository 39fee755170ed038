//! A global allocator that records another.

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::CStr;
use std::sync::Once;

use crate::format::Kind;
use crate::tape;

/// Hands every call to `A`, and records it if the variable `ALLOCATION_TRACE_BUILT_IN` names a
/// folder.
///
/// ```
/// use std::alloc::System;
///
/// #[global_allocator]
/// static ALLOC: freestone_trace::Recorder<System> = freestone_trace::Recorder::new(System);
/// ```
#[derive(Debug)]
pub struct Recorder<A> {
    allocator: A,
    start: Once,
}

impl<A> Recorder<A> {
    /// A recorder of `allocator`.
    pub const fn new(allocator: A) -> Self {
        Self { allocator, start: Once::new() }
    }

    #[inline(always)]
    fn start(&self) {
        if !self.start.is_completed() {
            self.start.call_once(start);
        }
    }

    #[inline(always)]
    fn record(&self, kind: Kind, block: *mut u8, layout: Layout) -> *mut u8 {
        if !block.is_null() {
            tape::allocated(kind, layout.size(), layout.align(), block);
        }
        block
    }
}

fn start() {
    // SAFETY: the name is a C string, and a program changes its environment later.
    let folder = unsafe { libc::getenv(tape::BUILT_IN.as_ptr()) };
    if !folder.is_null() {
        // SAFETY: the environment's value is a C string.
        tape::start(unsafe { CStr::from_ptr(folder) });
    }
}

// SAFETY: every call goes to `A` as it comes. Recording does not touch the blocks, allocates
// nothing and does not unwind.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Recorder<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.start();
        // SAFETY: forwarded to the caller.
        self.record(Kind::Aligned, unsafe { self.allocator.alloc(layout) }, layout)
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.start();
        // SAFETY: forwarded to the caller.
        self.record(Kind::ZeroedAligned, unsafe { self.allocator.alloc_zeroed(layout) }, layout)
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        tape::freed(Kind::SizedFree, block);
        // SAFETY: forwarded to the caller.
        unsafe { self.allocator.dealloc(block, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: forwarded to the caller.
        tape::resized(block, size, || unsafe { self.allocator.realloc(block, layout, size) })
    }
}
