//! Heaps as allocators of collections.

use core::alloc::Layout;
use core::ptr::NonNull;

use allocator_api2::alloc::{AllocError, Allocator};

use super::{Handle, Heap, Kind};

fn slice(start: Option<NonNull<u8>>, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
    let start = start.ok_or(AllocError)?;
    Ok(NonNull::slice_from_raw_parts(start, layout.size()))
}

/// The block of a layout without bytes: nothing, aligned.
fn nothing(layout: Layout) -> Option<NonNull<u8>> {
    NonNull::new(core::ptr::without_provenance_mut(layout.align()))
}

// SAFETY: blocks stay where they are until they are freed or the heap is dropped, also when the
// `Heap` itself is moved: they are in its mapping.
unsafe impl<K: Kind> Allocator for Heap<K> {
    #[inline]
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        slice(if layout.size() == 0 { nothing(layout) } else { Self::allocate(self, layout) }, layout)
    }

    #[inline]
    fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        slice(if layout.size() == 0 { nothing(layout) } else { Self::allocate_zeroed(self, layout) }, layout)
    }

    #[inline]
    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        if layout.size() != 0 {
            // SAFETY: forwarded to the caller.
            unsafe { Self::deallocate(self, block, layout) }
        }
    }

    #[inline]
    unsafe fn grow(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: forwarded to the caller.
        unsafe { resize(self, block, old, new) }
    }

    #[inline]
    unsafe fn grow_zeroed(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: forwarded to the caller.
        let grown = unsafe { resize(self, block, old, new) }?;
        let more = new.size().saturating_sub(old.size());
        // SAFETY: the new block has `new.size()` bytes.
        unsafe { grown.cast::<u8>().add(old.size()).write_bytes(0, more) };
        Ok(grown)
    }

    #[inline]
    unsafe fn shrink(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: forwarded to the caller.
        unsafe { resize(self, block, old, new) }
    }
}

unsafe fn resize<K: Kind>(
    heap: &Heap<K>,
    block: NonNull<u8>,
    old: Layout,
    new: Layout,
) -> Result<NonNull<[u8]>, AllocError> {
    match (old.size(), new.size()) {
        (0, _) => Allocator::allocate(heap, new),
        (_, 0) => {
            // SAFETY: forwarded to the caller.
            unsafe { heap.deallocate(block, old) };
            slice(nothing(new), new)
        }
        // SAFETY: forwarded to the caller.
        _ => slice(unsafe { heap.reallocate(block, old, new) }, new),
    }
}

// SAFETY: as of the heap, which lives as long as its handles.
unsafe impl<K: Kind> Allocator for Handle<K> {
    #[inline]
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        Allocator::allocate(&**self, layout)
    }

    #[inline]
    fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        Allocator::allocate_zeroed(&**self, layout)
    }

    #[inline]
    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: forwarded to the caller.
        unsafe { Allocator::deallocate(&**self, block, layout) }
    }

    #[inline]
    unsafe fn grow(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: forwarded to the caller.
        unsafe { Allocator::grow(&**self, block, old, new) }
    }

    #[inline]
    unsafe fn grow_zeroed(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: forwarded to the caller.
        unsafe { Allocator::grow_zeroed(&**self, block, old, new) }
    }

    #[inline]
    unsafe fn shrink(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: forwarded to the caller.
        unsafe { Allocator::shrink(&**self, block, old, new) }
    }
}
