//! `malloc`, `free` and their relatives.

use core::ptr;

use freestone::untyped::{self, MIN_ALIGN};

use crate::errno::{no_memory, no_memory_if_null};

/// malloc(3). Size zero gives a block of its own, as any other size.
#[unsafe(no_mangle)]
pub(crate) extern "C-unwind" fn malloc(size: usize) -> *mut u8 {
    match untyped::at_hand(size) {
        Some(block) => block.as_ptr(),
        None => malloc_slow(size),
    }
}

/// A call in last position, so that [`malloc`] needs no stack.
#[cold]
#[inline(never)]
extern "C-unwind" fn malloc_slow(size: usize) -> *mut u8 {
    match untyped::at_hand_in_bin(size) {
        Some(block) => block.as_ptr(),
        None => malloc_slower(size),
    }
}

/// Apart, since the registers it saves would be saved by each allocation from a bin.
#[cold]
#[inline(never)]
extern "C-unwind" fn malloc_slower(size: usize) -> *mut u8 {
    no_memory_if_null(untyped::allocate_aligned(size, MIN_ALIGN))
}

/// calloc(3).
#[unsafe(no_mangle)]
pub(crate) extern "C-unwind" fn calloc(count: usize, size: usize) -> *mut u8 {
    match count.checked_mul(size) {
        Some(bytes) => no_memory_if_null(untyped::allocate_zeroed(bytes, MIN_ALIGN)),
        None => no_memory(),
    }
}

/// free(3). Keeps `errno`.
///
/// # Safety
/// The caller gives up the block at `pointer`.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn free(pointer: *mut u8) {
    // SAFETY: forwarded to the caller.
    unsafe { untyped::free(pointer) }
}

/// C23. The size is not needed.
///
/// # Safety
/// As for [`free`].
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn free_sized(pointer: *mut u8, _size: usize) {
    // SAFETY: forwarded to the caller.
    unsafe { untyped::free(pointer) }
}

/// C23. Alignment and size are not needed.
///
/// # Safety
/// As for [`free`].
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn free_aligned_sized(pointer: *mut u8, _align: usize, _size: usize) {
    // SAFETY: forwarded to the caller.
    unsafe { untyped::free(pointer) }
}

/// realloc(3). Size zero frees the block and gives null, as in glibc; a null pointer gives a
/// new block even then.
///
/// # Safety
/// The caller gives up the block at `pointer`, unless the answer is null and `size` is not zero.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn realloc(pointer: *mut u8, size: usize) -> *mut u8 {
    if size == 0 && !pointer.is_null() {
        // SAFETY: forwarded to the caller.
        unsafe { untyped::free(pointer) };
        return ptr::null_mut();
    }
    // SAFETY: forwarded to the caller.
    no_memory_if_null(unsafe { untyped::reallocate(pointer, size) })
}

/// reallocarray(3).
///
/// # Safety
/// As for [`realloc`].
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn reallocarray(pointer: *mut u8, count: usize, size: usize) -> *mut u8 {
    match count.checked_mul(size) {
        // SAFETY: forwarded to the caller.
        Some(bytes) => unsafe { realloc(pointer, bytes) },
        None => no_memory(),
    }
}

/// malloc_usable_size(3).
///
/// # Safety
/// None: a pointer that is no allocation is reported.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn malloc_usable_size(pointer: *mut u8) -> usize {
    // SAFETY: the caller holds the block.
    unsafe { untyped::usable_size(pointer) }
}
