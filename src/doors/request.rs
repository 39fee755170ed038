//! A layout as calls to the slow paths pass it.

use core::alloc::Layout;

/// A layout, passed in the registers in which the compiler's shims of the global allocator get it:
/// the size, then the alignment. A slow path that takes it first, or behind the pointer, is jumped
/// to as it stands, and the fast path before it moves no registers.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Request {
    size: usize,
    align: usize,
}

impl Request {
    #[inline(always)]
    pub(super) const fn new(layout: Layout) -> Self {
        Self { size: layout.size(), align: layout.align() }
    }

    #[inline(always)]
    pub(super) const fn layout(self) -> Layout {
        // SAFETY: both are a layout's.
        unsafe { Layout::from_size_align_unchecked(self.size, self.align) }
    }
}
