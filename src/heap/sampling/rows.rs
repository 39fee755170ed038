//! Memory for the profiler's records. It comes from mappings, so that the profiler never calls the
//! allocator that it follows.

use core::ptr::{self, NonNull};

use crate::os;

/// Types for which all bytes zero is a value.
///
/// # Safety
/// A value whose bytes are all zero is a valid one.
pub(super) unsafe trait Plain: Copy {}

// SAFETY: zero is a number.
unsafe impl Plain for usize {}

/// Items one after another in a mapping that grows.
pub(super) struct Rows<T: Plain> {
    start: *mut T,
    len: usize,
    capacity: usize,
}

// SAFETY: the mapping is owned like a value.
unsafe impl<T: Plain + Send> Send for Rows<T> {}

impl<T: Plain> Rows<T> {
    pub(super) const fn new() -> Self {
        Self { start: ptr::null_mut(), len: 0, capacity: 0 }
    }

    pub(super) fn as_slice(&self) -> &[T] {
        if self.start.is_null() {
            return &[];
        }
        // SAFETY: the first `len` items of the mapping were written, or are zero, which is a value.
        unsafe { core::slice::from_raw_parts(self.start, self.len) }
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [T] {
        if self.start.is_null() {
            return &mut [];
        }
        // SAFETY: as above, and the mapping is borrowed with `self`.
        unsafe { core::slice::from_raw_parts_mut(self.start, self.len) }
    }

    /// Adds items at the end. False where there is no memory.
    pub(super) fn extend(&mut self, items: &[T]) -> bool {
        let len = self.len.wrapping_add(items.len());
        if !self.reserve(len) {
            return false;
        }
        // SAFETY: there is room for that many items behind the first `len`.
        unsafe { self.start.add(self.len).copy_from_nonoverlapping(items.as_ptr(), items.len()) };
        self.len = len;
        true
    }

    /// `len` items, all zero. None where there is no memory.
    pub(super) fn zeroed(len: usize) -> Option<Self> {
        let mut rows = Self::new();
        if !rows.reserve(len) {
            return None;
        }
        rows.len = len;
        Some(rows)
    }

    fn reserve(&mut self, len: usize) -> bool {
        if len <= self.capacity {
            return true;
        }
        let capacity = len.max(self.capacity.wrapping_mul(2)).max(1024);
        let Ok(fresh) = os::map(None, capacity.wrapping_mul(size_of::<T>())) else { return false };
        let fresh: NonNull<T> = fresh.cast();
        if !self.start.is_null() {
            // SAFETY: both mappings are this one's, distinct, and have room for `len` items.
            unsafe { fresh.as_ptr().copy_from_nonoverlapping(self.start, self.len) };
        }
        let len = self.len;
        *self = Self { start: fresh.as_ptr(), len, capacity };
        true
    }
}

impl<T: Plain> Drop for Rows<T> {
    fn drop(&mut self) {
        if let Some(start) = NonNull::new(self.start) {
            // SAFETY: the mapping is this one's, and nothing refers to it any more. If the kernel
            // keeps it, it stays untouched.
            let _ = unsafe { os::unmap(start.cast(), self.capacity.wrapping_mul(size_of::<T>())) };
        }
    }
}
