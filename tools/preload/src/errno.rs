//! `errno`: set where C says so, kept where C says so.

use core::ffi::c_int;

/// Sets the calling thread's `errno`.
pub(crate) fn set(errno: c_int) {
    // SAFETY: the address of errno is writable for as long as the thread lives.
    unsafe { *libc::__errno_location() = errno }
}

/// The calling thread's `errno`.
pub(crate) fn get() -> c_int {
    // SAFETY: the address of errno is readable for as long as the thread lives.
    unsafe { *libc::__errno_location() }
}

/// `pointer`; where it is null, `errno` says that there was no memory.
#[inline(always)]
pub(crate) fn no_memory_if_null(pointer: *mut u8) -> *mut u8 {
    if pointer.is_null() {
        return no_memory();
    }
    pointer
}

/// Null, with `errno` saying that there was no memory.
#[cold]
#[inline(never)]
pub(crate) fn no_memory() -> *mut u8 {
    set(libc::ENOMEM);
    core::ptr::null_mut()
}
