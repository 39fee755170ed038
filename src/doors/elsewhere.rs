//! The same interface where the allocator itself does not run: off Linux, and where pointers are
//! not of 64 bits. It forwards to the system's allocator, whose books are not known here:
//! statistics are zero, and every address is foreign.
//!
//! What is Linux itself is not here: `map`, whose calls and flags are Linux's, `heaps`, which stand
//! on it, and `profile`.

use std::alloc::{GlobalAlloc, Layout, System};

use crate::doors::freestone::Freestone;
use crate::observe::describe::{Description, What};
use crate::observe::heap_map::Piece;
use crate::observe::stats::{Stats, ThreadStats};

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

/// Does nothing, and says so: what the system's allocator keeps is its own affair.
pub fn purge() -> bool {
    false
}

/// Does nothing, as [`purge`].
pub fn thread_idle() {}

/// A snapshot of nothing: the system's allocator has the memory, and its books.
#[must_use]
pub fn stats() -> Stats {
    Stats::nothing()
}

/// No heap: the answer is zero, and nothing is written.
pub fn heap_stats(_into: &mut [ThreadStats]) -> usize {
    0
}

/// Every address is foreign.
#[must_use]
pub fn describe<T: ?Sized>(pointer: *const T) -> Description {
    Description { address: pointer.cast::<u8>().addr(), what: What::Foreign }
}

/// Nothing is in the picture.
pub fn heap_map(_each: impl FnMut(Piece<'_>)) {}

/// The door for callers who do not know the layout: each block is preceded by its own.
pub mod untyped {
    use core::ffi::c_char;
    use core::ptr::{self, NonNull};
    use std::alloc::{GlobalAlloc, Layout, System};

    /// The alignment of every block.
    pub const MIN_ALIGN: usize = 16;

    /// What lies right before a block.
    #[repr(C)]
    struct Head {
        whole: Layout,
        /// Bytes from the whole's beginning to the block's.
        lead: usize,
    }

    /// The layout of a block with its head, and where in it the block begins.
    fn with_head(size: usize, align: usize) -> Option<(Layout, usize)> {
        let align = align.is_power_of_two().then_some(align.max(MIN_ALIGN))?;
        let block = Layout::from_size_align(size, align).ok()?;
        Layout::new::<Head>().align_to(block.align()).ok()?.pad_to_align().extend(block).ok()
    }

    /// A block preceded by its head; null where there is no memory, and where `align` is no power
    /// of two.
    fn with_own_head(size: usize, align: usize, get: unsafe fn(Layout) -> *mut u8) -> *mut u8 {
        let Some((whole, lead)) = with_head(size, align) else { return ptr::null_mut() };
        // SAFETY: the head alone has bytes.
        let start = unsafe { get(whole) };
        if start.is_null() {
            return start;
        }
        let block = start.wrapping_add(lead);
        // SAFETY: the head fits between the whole's beginning and the block, aligned as the block
        // is.
        unsafe { block.cast::<Head>().sub(1).write(Head { whole, lead }) };
        block
    }

    /// None: no thread has blocks at hand.
    #[must_use]
    pub fn at_hand(_size: usize) -> Option<NonNull<u8>> {
        None
    }

    /// A block of at least `size` bytes, aligned to [`MIN_ALIGN`]; null where there is no memory.
    #[must_use]
    pub fn allocate(size: usize) -> *mut u8 {
        allocate_aligned(size, MIN_ALIGN)
    }

    /// As [`allocate`], aligned to `align` as well, a power of two; null also where it is not one.
    #[must_use]
    pub fn allocate_aligned(size: usize, align: usize) -> *mut u8 {
        // SAFETY: forwarded; `with_own_head` gives it a layout with bytes.
        with_own_head(size, align, |layout| unsafe { System.alloc(layout) })
    }

    /// As [`allocate_aligned`], all zero.
    #[must_use]
    pub fn allocate_zeroed(size: usize, align: usize) -> *mut u8 {
        // SAFETY: as in `allocate_aligned`.
        with_own_head(size, align, |layout| unsafe { System.alloc_zeroed(layout) })
    }

    /// # Safety
    /// A block of this module begins at `block`.
    unsafe fn head_of(block: NonNull<u8>) -> Head {
        // SAFETY: forwarded to the caller: it was written when the block was made.
        unsafe { block.cast::<Head>().sub(1).read() }
    }

    impl Head {
        const fn block_bytes(&self) -> usize {
            self.whole.size().saturating_sub(self.lead)
        }
    }

    /// Frees the block at `pointer`; null is ignored.
    ///
    /// # Safety
    /// The caller gives up the block, which is one of this module's: nothing is looked at here.
    pub unsafe fn free(pointer: *mut u8) {
        let Some(block) = NonNull::new(pointer) else { return };
        // SAFETY: forwarded to the caller; the whole begins that far before the block.
        unsafe {
            let Head { whole, lead } = head_of(block);
            System.dealloc(pointer.sub(lead), whole);
        }
    }

    /// Bytes that the block at `pointer` has room for; zero for null.
    ///
    /// # Safety
    /// `pointer` is null, or a block of this module that nobody frees meanwhile.
    #[must_use]
    pub unsafe fn usable_size(pointer: *const u8) -> usize {
        // SAFETY: forwarded to the caller.
        NonNull::new(pointer.cast_mut()).map_or(0, |block| unsafe { head_of(block) }.block_bytes())
    }

    /// Resizes the block at `pointer` to at least `size` bytes; contents are kept up to the shorter
    /// length, alignment beyond [`MIN_ALIGN`] is not. Null where there is no memory: the old block
    /// is then as before. A null pointer is an allocation.
    ///
    /// # Safety
    /// The caller gives up the old block, if the answer is not null.
    #[must_use]
    pub unsafe fn reallocate(pointer: *mut u8, size: usize) -> *mut u8 {
        let fresh = allocate(size);
        if !pointer.is_null() && !fresh.is_null() {
            // SAFETY: both blocks are live, distinct, and at least this long; the rest is
            // forwarded.
            unsafe {
                ptr::copy_nonoverlapping(pointer, fresh, usable_size(pointer).min(size));
                free(pointer);
            }
        }
        fresh
    }

    /// Without effect: options have none here.
    ///
    /// # Safety
    /// None; on Linux there are conditions.
    pub unsafe fn start(_environment: *const *const c_char) {}
}
