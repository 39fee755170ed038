//! A block of memory with a size and alignment known only at run time: the only
//! room of the workloads that speaks to the allocator directly.

use std::alloc::{self, Layout};
use std::ptr::NonNull;

/// Bytes between two touches of a block: the smallest page there is.
const TOUCH_STEP: usize = 4096;

/// One allocation, freed on drop.
#[derive(Debug)]
pub(crate) struct Block {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: a block owns its memory and nothing else refers to it.
unsafe impl Send for Block {}

impl Block {
    /// A block of `size` bytes, aligned as most Rust types are, whose pages have
    /// all been written to.
    pub(crate) fn new(size: usize) -> Self {
        Self::aligned(size, size_of::<usize>())
    }

    /// A block of `size` bytes aligned to `align`, whose pages have all been
    /// written to. `align` is a power of two.
    pub(crate) fn aligned(size: usize, align: usize) -> Self {
        let mut block = Self::untouched(size, align);
        block.touch();
        block
    }

    /// A block of `size` bytes, of which up to the first `written` have been
    /// written.
    pub(crate) fn begun(size: usize, written: usize) -> Self {
        let block = Self::untouched(size, size_of::<usize>());
        // SAFETY: the block has at least that many bytes.
        unsafe { block.start.write_bytes(1, written.min(block.size())) };
        std::hint::black_box(block)
    }

    /// A block whose memory is as the allocator gave it.
    fn untouched(size: usize, align: usize) -> Self {
        let layout = Self::layout(size, align);
        // SAFETY: `layout` has at least one byte.
        Self::own(unsafe { alloc::alloc(layout) }, layout)
    }

    /// A block of `size` bytes, all zero, not touched.
    pub(crate) fn zeroed(size: usize) -> Self {
        let layout = Self::layout(size, size_of::<usize>());
        // SAFETY: `layout` has at least one byte.
        Self::own(unsafe { alloc::alloc_zeroed(layout) }, layout)
    }

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size.max(1), align).expect("workloads ask for legal layouts")
    }

    fn own(start: *mut u8, layout: Layout) -> Self {
        match NonNull::new(start) {
            Some(start) => Self { start, layout },
            None => alloc::handle_alloc_error(layout),
        }
    }

    /// Writes one byte in each page of the block, and the last one.
    pub(crate) fn touch(&mut self) {
        let size = self.layout.size();
        for offset in (0..size).step_by(TOUCH_STEP).chain([size - 1]) {
            // SAFETY: `offset` lies below `size`, so the byte is ours. Volatile,
            // so that no write is taken for useless.
            unsafe { self.start.add(offset).write_volatile(1) };
        }
    }

    /// The sum of one byte of each page: zero in a block that is all zero.
    pub(crate) fn sum(&self) -> u64 {
        (0..self.layout.size())
            .step_by(TOUCH_STEP)
            // SAFETY: `offset` lies below the size. Only zeroed blocks and the
            // touched bytes of others are read, so the byte is initialised.
            .map(|offset| u64::from(unsafe { self.start.add(offset).read_volatile() }))
            .sum()
    }

    /// Bytes that were asked for.
    pub(crate) fn size(&self) -> usize {
        self.layout.size()
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: the memory came from this allocator with this layout.
        unsafe { alloc::dealloc(self.start.as_ptr(), self.layout) };
    }
}
