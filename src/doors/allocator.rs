//! The allocator as one of collections that take an allocator: `allocator_api2::alloc::Allocator`.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;

use allocator_api2::alloc::{AllocError, Allocator};

use super::freestone::Freestone;
use crate::base::collection::{self, Blocks};

// SAFETY: every value of the type is the same allocator, so moving or copying one changes nothing;
// blocks stay where they are until they are freed.
unsafe impl Blocks for Freestone {
    #[inline]
    fn block(&self, layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: the layout has bytes.
        NonNull::new(unsafe { self.alloc(layout) })
    }

    #[inline]
    fn zeroed_block(&self, layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: the layout has bytes.
        NonNull::new(unsafe { self.alloc_zeroed(layout) })
    }

    #[inline]
    unsafe fn free_block(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: forwarded to the caller.
        unsafe { self.dealloc(block.as_ptr(), layout) }
    }

    unsafe fn resize_block(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<u8>> {
        if old.align() == new.align() {
            // SAFETY: the block is one of `old`; `new` has bytes, and the same alignment.
            return NonNull::new(unsafe { self.realloc(block.as_ptr(), old, new.size()) });
        }
        // `realloc` keeps the alignment of the layout, and a block goes back with the layout that
        // it came with.
        let fresh = self.block(new)?;
        let kept = old.size().min(new.size());
        // SAFETY: both blocks are live, distinct and at least that long; the old one is the
        // caller's to give up.
        unsafe {
            block.copy_to_nonoverlapping(fresh, kept);
            self.free_block(block, old);
        }
        Some(fresh)
    }
}

collection::allocator!([] Freestone: Freestone);
