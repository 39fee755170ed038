//! [`Span`]: an owned run of pages. Nothing else in this room maps or unmaps.

use core::ptr::NonNull;

use crate::os::{self, Errno};

/// A run of pages that belongs to its owner alone, unmapped on drop; no bytes are no mapping.
#[derive(Debug)]
pub(super) struct Span {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: a span is an address range that one owner has; mappings belong to no thread.
unsafe impl Send for Span {}
// SAFETY: through a shared reference nothing of a span changes.
unsafe impl Sync for Span {}

impl Span {
    /// The owner of a range that a mapping call has just answered.
    ///
    /// # Safety
    /// The range is mapped, whole pages of it, and belongs to nobody else.
    pub(super) const unsafe fn own(start: NonNull<u8>, bytes: usize) -> Self {
        Self { start, bytes }
    }

    /// No pages. The address is where they would be.
    pub(super) const fn empty(start: NonNull<u8>) -> Self {
        Self { start, bytes: 0 }
    }

    pub(super) const fn start(&self) -> NonNull<u8> {
        self.start
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The address `offset` bytes in; at the end for whatever lies beyond.
    pub(super) fn at(&self, offset: usize) -> NonNull<u8> {
        // SAFETY: not past the range's end.
        unsafe { self.start.add(offset.min(self.bytes)) }
    }

    /// The parts before and behind `at` bytes, a multiple of the page.
    pub(super) fn split(mut self, at: usize) -> (Self, Self) {
        let back = self.split_off(at);
        (self, back)
    }

    /// Keeps the part before `at` bytes, a multiple of the page, and answers the other one.
    pub(super) fn split_off(&mut self, at: usize) -> Self {
        let at = at.min(self.bytes);
        let back = Self { start: self.at(at), bytes: self.bytes.saturating_sub(at) };
        self.bytes = at;
        back
    }

    /// Unmaps now. An error answers the span as it was.
    pub(super) fn unmap(mut self) -> Result<(), (Self, Errno)> {
        if self.bytes != 0 {
            // SAFETY: the range is this span's own, and references into it borrow from its owner.
            if let Err(errno) = unsafe { os::calls::unmap(self.start, self.bytes) } {
                return Err((self, errno));
            }
            self.bytes = 0;
        }
        Ok(())
    }

    /// Resizes in place.
    ///
    /// # Safety
    /// Nothing refers to what is cut off.
    pub(super) unsafe fn resize_in_place(&mut self, bytes: usize) -> Result<(), Errno> {
        // SAFETY: the range is this span's own; the rest is the caller's word.
        unsafe { os::calls::remap_in_place(self.start, self.bytes, bytes) }?;
        self.bytes = bytes;
        Ok(())
    }

    /// Resizes, moving where there is no room.
    ///
    /// # Safety
    /// Nothing refers to the span: it may move.
    pub(super) unsafe fn resize(&mut self, bytes: usize) -> Result<(), Errno> {
        // SAFETY: the range is this span's own, and its old start is forgotten here.
        self.start = unsafe { os::calls::remap(self.start, self.bytes, bytes) }?;
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Span {
    #[inline]
    fn drop(&mut self) {
        if self.bytes != 0 {
            // At the map-count limit munmap may fail to cut a mapping in two (munmap(2)): then the
            // pages stay mapped. `unmap` answers the error.
            // SAFETY: the range is this span's own, and references into it borrow from its owner.
            let _ = unsafe { os::calls::unmap(self.start, self.bytes) };
        }
    }
}
