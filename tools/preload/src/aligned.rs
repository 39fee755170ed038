//! The C functions that take an alignment.

use core::ffi::c_int;

use freestone::untyped;

use crate::errno::{self, no_memory, no_memory_if_null};

/// A block of `size` bytes aligned to `align`; null and `EINVAL` where `align` is no power of two.
fn allocate(align: usize, size: usize) -> *mut u8 {
    if !align.is_power_of_two() {
        errno::set(libc::EINVAL);
        return core::ptr::null_mut();
    }
    no_memory_if_null(untyped::allocate_aligned(size, align))
}

/// aligned_alloc(3). As C17 has it, the size need not be a multiple of the alignment.
#[unsafe(no_mangle)]
pub(crate) extern "C-unwind" fn aligned_alloc(align: usize, size: usize) -> *mut u8 {
    allocate(align, size)
}

/// memalign(3). An alignment that is no power of two is `EINVAL`, as the manual says; glibc
/// rounds it up.
#[unsafe(no_mangle)]
pub(crate) extern "C-unwind" fn memalign(align: usize, size: usize) -> *mut u8 {
    allocate(align, size)
}

/// posix_memalign(3). Returns the error; `errno` is unchanged, and after an error `*memptr` is,
/// too.
///
/// # Safety
/// `memptr` is writable.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn posix_memalign(
    memptr: *mut *mut u8,
    align: usize,
    size: usize,
) -> c_int {
    if !align.is_power_of_two() || align < size_of::<*mut u8>() {
        return libc::EINVAL;
    }
    let before = errno::get();
    let pointer = untyped::allocate_aligned(size, align);
    errno::set(before);
    if pointer.is_null() {
        return libc::ENOMEM;
    }
    // SAFETY: forwarded to the caller.
    unsafe { *memptr = pointer };
    0
}

/// valloc(3).
#[unsafe(no_mangle)]
pub(crate) extern "C-unwind" fn valloc(size: usize) -> *mut u8 {
    allocate(page_bytes(), size)
}

/// pvalloc(3): as [`valloc`], in whole pages.
#[unsafe(no_mangle)]
pub(crate) extern "C-unwind" fn pvalloc(size: usize) -> *mut u8 {
    let page = page_bytes();
    match size.max(1).checked_next_multiple_of(page) {
        Some(bytes) => allocate(page, bytes),
        None => no_memory(),
    }
}

fn page_bytes() -> usize {
    // SAFETY: no preconditions.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}
