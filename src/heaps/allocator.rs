//! Heaps and handles as allocators of collections, with the feature `allocator-api2`.

use core::alloc::Layout;
use core::ptr::NonNull;

use allocator_api2::alloc::{AllocError, Allocator};

use super::backing::Kind;
use super::handle::Handle;
use super::heap::Heap;
use crate::base::collection::{self, Blocks};

// SAFETY: blocks stay where they are until they are freed or the heap is dropped, which lives as
// long as its handles. They are in the heap's mapping: moving the `Heap` moves no block.
unsafe impl<K: Kind> Blocks for Heap<K> {
    #[inline]
    fn block(&self, layout: Layout) -> Option<NonNull<u8>> {
        self.allocate(layout)
    }

    #[inline]
    fn zeroed_block(&self, layout: Layout) -> Option<NonNull<u8>> {
        self.allocate_zeroed(layout)
    }

    #[inline]
    unsafe fn free_block(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: forwarded to the caller.
        unsafe { self.deallocate(block, layout) }
    }

    unsafe fn resize_block(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<u8>> {
        // SAFETY: forwarded to the caller.
        unsafe { self.reallocate(block, old, new) }
    }
}

collection::allocator!([K: Kind] Heap<K>: Heap<K>);
collection::allocator!([K: Kind] Handle<K>: Heap<K>);
