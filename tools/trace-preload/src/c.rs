//! `malloc`, `free` and their relatives.

use core::ptr;

use freestone_trace::format::Kind;
use freestone_trace::tape;

use crate::glibc::{__libc_calloc, __libc_free, __libc_malloc, __libc_realloc, usable_size};

/// Records a block of glibc's, unless there is none.
#[inline(always)]
pub(crate) fn recorded(kind: Kind, size: usize, align: usize, block: *mut u8) -> *mut u8 {
    if !block.is_null() {
        tape::allocated(kind, size, align, block);
    }
    block
}

/// malloc(3).
#[unsafe(no_mangle)]
extern "C" fn malloc(size: usize) -> *mut u8 {
    recorded(Kind::Allocate, size, 1, __libc_malloc(size))
}

/// calloc(3).
#[unsafe(no_mangle)]
extern "C" fn calloc(count: usize, size: usize) -> *mut u8 {
    // A product that is too large gives no block.
    recorded(Kind::Zeroed, count.wrapping_mul(size), 1, __libc_calloc(count, size))
}

/// free(3).
///
/// # Safety
/// The caller gives up the block.
#[unsafe(no_mangle)]
unsafe extern "C" fn free(block: *mut u8) {
    // SAFETY: forwarded to the caller.
    unsafe { give_up(Kind::Free, block) }
}

/// free_sized(3), of C23.
///
/// # Safety
/// The caller gives up the block.
#[unsafe(no_mangle)]
unsafe extern "C" fn free_sized(block: *mut u8, _size: usize) {
    // SAFETY: forwarded to the caller.
    unsafe { give_up(Kind::SizedFree, block) }
}

/// free_aligned_sized(3), of C23.
///
/// # Safety
/// The caller gives up the block.
#[unsafe(no_mangle)]
unsafe extern "C" fn free_aligned_sized(block: *mut u8, _align: usize, _size: usize) {
    // SAFETY: forwarded to the caller.
    unsafe { give_up(Kind::SizedFree, block) }
}

/// cfree(3), gone from glibc; old programs have it.
///
/// # Safety
/// The caller gives up the block.
#[unsafe(no_mangle)]
unsafe extern "C" fn cfree(block: *mut u8) {
    // SAFETY: forwarded to the caller.
    unsafe { give_up(Kind::Free, block) }
}

#[inline(always)]
unsafe fn give_up(kind: Kind, block: *mut u8) {
    if !block.is_null() {
        tape::freed(kind, block);
    }
    // SAFETY: forwarded to the caller.
    unsafe { __libc_free(block) }
}

/// realloc(3). As in glibc, size zero frees the block.
///
/// # Safety
/// The caller gives up the block, unless the answer is null and the size is not zero.
#[unsafe(no_mangle)]
unsafe extern "C" fn realloc(block: *mut u8, size: usize) -> *mut u8 {
    if block.is_null() {
        return malloc(size);
    }
    if size == 0 {
        // SAFETY: forwarded to the caller.
        unsafe { give_up(Kind::Free, block) };
        return ptr::null_mut();
    }
    // SAFETY: forwarded to the caller.
    tape::resized(block, size, || unsafe { __libc_realloc(block, size) })
}

/// reallocarray(3).
///
/// # Safety
/// As for [`realloc`].
#[unsafe(no_mangle)]
unsafe extern "C" fn reallocarray(block: *mut u8, count: usize, size: usize) -> *mut u8 {
    match count.checked_mul(size) {
        // SAFETY: forwarded to the caller.
        Some(bytes) => unsafe { realloc(block, bytes) },
        None => {
            // SAFETY: the address of errno is there as long as the thread.
            unsafe { *libc::__errno_location() = libc::ENOMEM };
            ptr::null_mut()
        }
    }
}

/// malloc_usable_size(3). Programs that are linked to another allocator would ask that one.
///
/// # Safety
/// The caller holds the block.
#[unsafe(no_mangle)]
unsafe extern "C" fn malloc_usable_size(block: *mut u8) -> usize {
    if block.is_null() {
        return 0;
    }
    // SAFETY: forwarded to the caller.
    unsafe { usable_size(block) }
}
