//! Allocators of collections, `allocator_api2::alloc::Allocator`, from functions that only know
//! layouts with bytes.

use core::alloc::Layout;
use core::ptr::NonNull;

use allocator_api2::alloc::AllocError;

/// Blocks for layouts that have bytes.
///
/// # Safety
/// A block lies where it is until it is freed, wherever the value and its copies are moved to
/// meanwhile. Every copy frees the blocks of every other.
pub(crate) unsafe trait Blocks {
    fn block(&self, layout: Layout) -> Option<NonNull<u8>>;

    /// A block whose bytes are zero.
    fn zeroed_block(&self, layout: Layout) -> Option<NonNull<u8>>;

    /// # Safety
    /// The block is one of `layout`, and is not used any more.
    unsafe fn free_block(&self, block: NonNull<u8>, layout: Layout);

    /// The block of `new` with the bytes of the block of `old`; None leaves the old one as it was.
    ///
    /// # Safety
    /// `block` is one of `old`, and is not used any more if another is returned.
    unsafe fn resize_block(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<u8>>;
}

/// A block from `take`; for a layout without bytes an address, aligned.
#[inline]
pub(crate) fn allocate<B: Blocks>(
    blocks: &B,
    layout: Layout,
    take: impl FnOnce(&B, Layout) -> Option<NonNull<u8>>,
) -> Result<NonNull<[u8]>, AllocError> {
    let start = match layout.size() {
        0 => NonNull::new(core::ptr::without_provenance_mut(layout.align())),
        _ => take(blocks, layout),
    };
    Ok(NonNull::slice_from_raw_parts(start.ok_or(AllocError)?, layout.size()))
}

/// # Safety
/// As for `Allocator::deallocate`.
#[inline]
pub(crate) unsafe fn deallocate<B: Blocks>(blocks: &B, block: NonNull<u8>, layout: Layout) {
    if layout.size() != 0 {
        // SAFETY: the layout has bytes, so the block is one of `blocks`; the rest is forwarded to
        // the caller.
        unsafe { blocks.free_block(block, layout) }
    }
}

/// # Safety
/// As for `Allocator::grow` or `Allocator::shrink`.
pub(crate) unsafe fn resize<B: Blocks>(
    blocks: &B,
    block: NonNull<u8>,
    old: Layout,
    new: Layout,
) -> Result<NonNull<[u8]>, AllocError> {
    if old.size() == 0 {
        return allocate(blocks, new, B::block);
    }
    allocate(blocks, new, |blocks, new| {
        // SAFETY: both layouts have bytes; the rest is forwarded to the caller.
        unsafe { blocks.resize_block(block, old, new) }
    })
    .inspect(|_| {
        if new.size() == 0 {
            // SAFETY: the answer has no bytes, so nobody has freed the block yet; the caller gives
            // it up.
            unsafe { blocks.free_block(block, old) }
        }
    })
}

/// # Safety
/// As for `Allocator::grow_zeroed`.
#[inline]
pub(crate) unsafe fn grow_zeroed<B: Blocks>(
    blocks: &B,
    block: NonNull<u8>,
    old: Layout,
    new: Layout,
) -> Result<NonNull<[u8]>, AllocError> {
    if old.size() == 0 {
        return allocate(blocks, new, B::zeroed_block);
    }
    // SAFETY: forwarded to the caller.
    let grown = unsafe { resize(blocks, block, old, new) }?;
    let more = new.size().saturating_sub(old.size());
    // SAFETY: the new block has `new.size()` bytes.
    unsafe { grown.cast::<u8>().add(old.size()).write_bytes(0, more) };
    Ok(grown)
}

/// `allocator!([KIND: BOUND] TYPE: BLOCKS)` implements `Allocator` for a type that dereferences to,
/// or is, a [`Blocks`].
macro_rules! allocator {
    ([$($kind:ident: $bound:path)?] $type:ty: $blocks:ty) => {
        // SAFETY: as `Blocks` promises; who dereferences to it keeps it alive.
        unsafe impl$(<$kind: $bound>)? Allocator for $type {
            #[inline]
            fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
                collection::allocate::<$blocks>(self, layout, Blocks::block)
            }

            #[inline]
            fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
                collection::allocate::<$blocks>(self, layout, Blocks::zeroed_block)
            }

            #[inline]
            unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
                // SAFETY: forwarded to the caller.
                unsafe { collection::deallocate::<$blocks>(self, block, layout) }
            }

            #[inline]
            unsafe fn grow(
                &self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, AllocError> {
                // SAFETY: forwarded to the caller.
                unsafe { collection::resize::<$blocks>(self, block, old, new) }
            }

            #[inline]
            unsafe fn grow_zeroed(
                &self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, AllocError> {
                // SAFETY: forwarded to the caller.
                unsafe { collection::grow_zeroed::<$blocks>(self, block, old, new) }
            }

            #[inline]
            unsafe fn shrink(
                &self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, AllocError> {
                // SAFETY: forwarded to the caller.
                unsafe { collection::resize::<$blocks>(self, block, old, new) }
            }
        }
    };
}
pub(crate) use allocator;
