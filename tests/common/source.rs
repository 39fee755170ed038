//! Where blocks come from: the global allocator, or a heap.

use std::alloc::{self, Layout};
use std::ptr::NonNull;

use freestone::heaps::{Heap, Kind};

/// Something that serves blocks. None where there is no memory.
pub(crate) trait Source: Copy {
    /// A block of that layout, whose size is not zero.
    fn allocate(self, layout: Layout) -> Option<NonNull<u8>>;

    fn allocate_zeroed(self, layout: Layout) -> Option<NonNull<u8>>;

    /// # Safety
    ///
    /// The block is live with this layout, from here, and nobody uses it any more.
    unsafe fn deallocate(self, block: NonNull<u8>, layout: Layout);

    /// The block in its new size, or none, and it is as before.
    ///
    /// # Safety
    ///
    /// The block is live with this layout, from here; `size` is not zero and makes a layout.
    unsafe fn reallocate(self, block: NonNull<u8>, layout: Layout, size: usize) -> Option<NonNull<u8>>;
}

/// The program's `#[global_allocator]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Global;

impl Source for Global {
    fn allocate(self, layout: Layout) -> Option<NonNull<u8>> {
        assert_ne!(layout.size(), 0);
        // SAFETY: the size is not zero.
        NonNull::new(unsafe { alloc::alloc(layout) })
    }

    fn allocate_zeroed(self, layout: Layout) -> Option<NonNull<u8>> {
        assert_ne!(layout.size(), 0);
        // SAFETY: the size is not zero.
        NonNull::new(unsafe { alloc::alloc_zeroed(layout) })
    }

    unsafe fn deallocate(self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's contract.
        unsafe { alloc::dealloc(block.as_ptr(), layout) }
    }

    unsafe fn reallocate(self, block: NonNull<u8>, layout: Layout, size: usize) -> Option<NonNull<u8>> {
        // SAFETY: the caller's contract.
        NonNull::new(unsafe { alloc::realloc(block.as_ptr(), layout, size) })
    }
}

impl<K: Kind> Source for &Heap<K> {
    fn allocate(self, layout: Layout) -> Option<NonNull<u8>> {
        Heap::allocate(self, layout)
    }

    fn allocate_zeroed(self, layout: Layout) -> Option<NonNull<u8>> {
        Heap::allocate_zeroed(self, layout)
    }

    unsafe fn deallocate(self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's contract.
        unsafe { Heap::deallocate(self, block, layout) }
    }

    unsafe fn reallocate(self, block: NonNull<u8>, layout: Layout, size: usize) -> Option<NonNull<u8>> {
        let new = Layout::from_size_align(size, layout.align()).expect("the caller's contract");
        // SAFETY: the caller's contract.
        unsafe { Heap::reallocate(self, block, layout, new) }
    }
}
