//! glibc's own allocator, under the names that nobody interposes.

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
