//! Heaps and handles as allocators of collections, with the feature `allocator-api2`.

use core::alloc::Layout;
use core::ptr::NonNull;

use allocator_api2::alloc::{AllocError, Allocator};

use super::backing::Kind;
use super::handle::Handle;
use super::heap::Heap;

/// Implements [`Allocator`] for a type that dereferences, or is, a [`Heap`].
macro_rules! allocator {
    ($type:ident) => {
        // SAFETY: blocks stay where they are until they are freed or the heap is dropped, which
        // lives as long as its handles. They are in the heap's mapping: moving the `Heap` moves no
        // block.
        unsafe impl<K: Kind> Allocator for $type<K> {
            #[inline]
            fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
                sized(self, layout, Heap::allocate)
            }

            #[inline]
            fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
                sized(self, layout, Heap::allocate_zeroed)
            }

            #[inline]
            unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
                let heap: &Heap<K> = self;
                if layout.size() != 0 {
                    // SAFETY: forwarded to the caller.
                    unsafe { heap.deallocate(block, layout) }
                }
            }

            #[inline]
            unsafe fn grow(
                &self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, AllocError> {
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
    };
}

allocator!(Heap);
allocator!(Handle);

/// A block for `layout` from `allocate`; for a layout without bytes a dangling, aligned pointer.
#[inline]
fn sized<K: Kind>(
    heap: &Heap<K>,
    layout: Layout,
    allocate: impl FnOnce(&Heap<K>, Layout) -> Option<NonNull<u8>>,
) -> Result<NonNull<[u8]>, AllocError> {
    let start = if layout.size() == 0 { dangling(layout) } else { allocate(heap, layout) };
    slice(start, layout)
}

unsafe fn resize<K: Kind>(
    heap: &Heap<K>,
    block: NonNull<u8>,
    old: Layout,
    new: Layout,
) -> Result<NonNull<[u8]>, AllocError> {
    match (old.size(), new.size()) {
        (0, _) => sized(heap, new, Heap::allocate),
        (_, 0) => {
            // SAFETY: forwarded to the caller.
            unsafe { heap.deallocate(block, old) };
            slice(dangling(new), new)
        }
        // SAFETY: forwarded to the caller.
        _ => slice(unsafe { heap.reallocate(block, old, new) }, new),
    }
}

fn slice(start: Option<NonNull<u8>>, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
    let start = start.ok_or(AllocError)?;
    Ok(NonNull::slice_from_raw_parts(start, layout.size()))
}

fn dangling(layout: Layout) -> Option<NonNull<u8>> {
    NonNull::new(core::ptr::without_provenance_mut(layout.align()))
}
