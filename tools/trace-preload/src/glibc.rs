//! glibc's own allocator, under the names that nobody interposes.

use core::ffi::c_void;
use core::mem;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

unsafe extern "C" {
    /// malloc(3).
    pub(crate) safe fn __libc_malloc(size: usize) -> *mut u8;
    /// calloc(3).
    pub(crate) safe fn __libc_calloc(count: usize, size: usize) -> *mut u8;
    /// realloc(3).
    pub(crate) fn __libc_realloc(block: *mut u8, size: usize) -> *mut u8;
    /// free(3).
    pub(crate) fn __libc_free(block: *mut u8);
    /// memalign(3).
    pub(crate) safe fn __libc_memalign(align: usize, size: usize) -> *mut u8;
}

type UsableSize = unsafe extern "C" fn(*mut u8) -> usize;

/// glibc's malloc_usable_size, which has no other name: a program may be linked to an allocator
/// whose function of that name knows nothing of glibc's blocks.
static USABLE_SIZE: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

/// malloc_usable_size(3) of glibc's block.
///
/// # Safety
/// The caller holds the block.
pub(crate) unsafe fn usable_size(block: *mut u8) -> usize {
    let mut function = USABLE_SIZE.load(Ordering::Acquire);
    if function.is_null() {
        // SAFETY: the names are C strings, and glibc is loaded.
        function = unsafe {
            let glibc = libc::dlopen(c"libc.so.6".as_ptr(), libc::RTLD_NOLOAD | libc::RTLD_LAZY);
            libc::dlsym(glibc, c"malloc_usable_size".as_ptr())
        };
        USABLE_SIZE.store(function, Ordering::Release);
    }
    if function.is_null() {
        return 0;
    }
    // SAFETY: the function has that type.
    let function = unsafe { mem::transmute::<*mut c_void, UsableSize>(function) };
    // SAFETY: forwarded to the caller.
    unsafe { function(block) }
}
