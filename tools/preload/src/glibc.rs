//! glibc's own names for its malloc. Some programs and wrappers call them directly, and a block
//! from one name must be good for another.

use crate::{aligned, c};

/// As [`c::malloc`].
#[unsafe(no_mangle)]
extern "C-unwind" fn __libc_malloc(size: usize) -> *mut u8 {
    c::malloc(size)
}

/// As [`c::calloc`].
#[unsafe(no_mangle)]
extern "C-unwind" fn __libc_calloc(count: usize, size: usize) -> *mut u8 {
    c::calloc(count, size)
}

/// As [`c::realloc`].
///
/// # Safety
/// As for [`c::realloc`].
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn __libc_realloc(pointer: *mut u8, size: usize) -> *mut u8 {
    // SAFETY: forwarded to the caller.
    unsafe { c::realloc(pointer, size) }
}

/// As [`c::free`].
///
/// # Safety
/// As for [`c::free`].
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn __libc_free(pointer: *mut u8) {
    // SAFETY: forwarded to the caller.
    unsafe { c::free(pointer) }
}

/// cfree(3), gone from glibc; old programs have it.
///
/// # Safety
/// As for [`c::free`].
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn cfree(pointer: *mut u8) {
    // SAFETY: forwarded to the caller.
    unsafe { c::free(pointer) }
}

/// As [`aligned::memalign`].
#[unsafe(no_mangle)]
extern "C-unwind" fn __libc_memalign(align: usize, size: usize) -> *mut u8 {
    aligned::memalign(align, size)
}

/// As [`aligned::posix_memalign`].
///
/// # Safety
/// As for [`aligned::posix_memalign`].
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn __posix_memalign(memptr: *mut *mut u8, align: usize, size: usize) -> i32 {
    // SAFETY: forwarded to the caller.
    unsafe { aligned::posix_memalign(memptr, align, size) }
}

/// As [`aligned::valloc`].
#[unsafe(no_mangle)]
extern "C-unwind" fn __libc_valloc(size: usize) -> *mut u8 {
    aligned::valloc(size)
}

/// As [`aligned::pvalloc`].
#[unsafe(no_mangle)]
extern "C-unwind" fn __libc_pvalloc(size: usize) -> *mut u8 {
    aligned::pvalloc(size)
}
