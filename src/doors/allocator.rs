//! The allocator as one of collections that take an allocator: `allocator_api2::alloc::Allocator`.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;

use allocator_api2::alloc::{AllocError, Allocator};

use super::freestone::Freestone;

/// The block that starts at `start`, or the error where there is none.
fn block(start: Option<NonNull<u8>>, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
    let start = start.ok_or(AllocError)?;
    Ok(NonNull::slice_from_raw_parts(start, layout.size()))
}

/// The block of a layout without bytes: an address, aligned.
fn empty(layout: Layout) -> Option<NonNull<u8>> {
    NonNull::new(core::ptr::without_provenance_mut(layout.align()))
}

impl Freestone {
    /// Resizes the block at `start` from `old` to `new`.
    ///
    /// # Safety
    /// As for [`Allocator::grow`] or [`Allocator::shrink`].
    unsafe fn resize(
        &self,
        start: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        if old.size() != 0 && new.size() != 0 && old.align() == new.align() {
            // SAFETY: the block is one of `old`, which has bytes, as `new` has; so has its alignment.
            return block(NonNull::new(unsafe { self.realloc(start.as_ptr(), old, new.size()) }), new);
        }
        // `realloc` keeps the alignment of the layout, and a block goes back with the layout that it came with.
        let fresh = self.allocate(new)?;
        let kept = old.size().min(new.size());
        // SAFETY: both blocks are live, distinct and at least that long; the old one is the caller's to give up.
        unsafe {
            start.copy_to_nonoverlapping(fresh.cast(), kept);
            self.deallocate(start, old);
        }
        Ok(fresh)
    }
}

// SAFETY: every value of the type is the same allocator, so moving or copying one changes nothing; blocks stay
// where they are until they are freed.
unsafe impl Allocator for Freestone {
    #[inline]
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the layout has bytes.
        let alloc = || NonNull::new(unsafe { self.alloc(layout) });
        block(if layout.size() == 0 { empty(layout) } else { alloc() }, layout)
    }

    #[inline]
    fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the layout has bytes.
        let alloc = || NonNull::new(unsafe { self.alloc_zeroed(layout) });
        block(if layout.size() == 0 { empty(layout) } else { alloc() }, layout)
    }

    #[inline]
    unsafe fn deallocate(&self, start: NonNull<u8>, layout: Layout) {
        if layout.size() != 0 {
            // SAFETY: forwarded to the caller.
            unsafe { self.dealloc(start.as_ptr(), layout) }
        }
    }

    #[inline]
    unsafe fn grow(&self, start: NonNull<u8>, old: Layout, new: Layout) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: forwarded to the caller.
        unsafe { self.resize(start, old, new) }
    }

    #[inline]
    unsafe fn grow_zeroed(
        &self,
        start: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        if old.size() == 0 {
            return self.allocate_zeroed(new);
        }
        // SAFETY: forwarded to the caller.
        let grown = unsafe { self.resize(start, old, new) }?;
        let more = new.size().saturating_sub(old.size());
        // SAFETY: the block has `new.size()` bytes.
        unsafe { grown.cast::<u8>().add(old.size()).write_bytes(0, more) };
        Ok(grown)
    }

    #[inline]
    unsafe fn shrink(
        &self,
        start: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: forwarded to the caller.
        unsafe { self.resize(start, old, new) }
    }
}
