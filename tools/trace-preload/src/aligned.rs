//! The C functions that take an alignment.

use core::ffi::c_int;

use freestone_trace::format::Kind;

use crate::c::recorded;
use crate::glibc::__libc_memalign;

fn allocate(align: usize, size: usize) -> *mut u8 {
    // glibc raises what is no power of two.
    let align_recorded = align.checked_next_power_of_two().unwrap_or(1);
    recorded(Kind::Aligned, size, align_recorded, __libc_memalign(align, size))
}

/// memalign(3).
#[unsafe(no_mangle)]
extern "C" fn memalign(align: usize, size: usize) -> *mut u8 {
    allocate(align, size)
}

/// aligned_alloc(3).
#[unsafe(no_mangle)]
extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut u8 {
    allocate(align, size)
}

/// posix_memalign(3). Returns the error; `errno` is unchanged.
///
/// # Safety
/// `to` is writable.
#[unsafe(no_mangle)]
unsafe extern "C" fn posix_memalign(to: *mut *mut u8, align: usize, size: usize) -> c_int {
    if !align.is_power_of_two() || align < size_of::<*mut u8>() {
        return libc::EINVAL;
    }
    // SAFETY: the address of errno is there as long as the thread.
    let before = unsafe { *libc::__errno_location() };
    let block = allocate(align, size);
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = before };
    if block.is_null() {
        return libc::ENOMEM;
    }
    // SAFETY: forwarded to the caller.
    unsafe { *to = block };
    0
}

/// valloc(3).
#[unsafe(no_mangle)]
extern "C" fn valloc(size: usize) -> *mut u8 {
    allocate(page_bytes(), size)
}

/// pvalloc(3): in whole pages.
#[unsafe(no_mangle)]
extern "C" fn pvalloc(size: usize) -> *mut u8 {
    let page = page_bytes();
    // A size near the end of the address space fails as it is.
    allocate(page, size.max(1).checked_next_multiple_of(page).unwrap_or(size))
}

fn page_bytes() -> usize {
    // SAFETY: no preconditions.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}
