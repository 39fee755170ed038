//! Error numbers, answers of calls, and keeping the caller's errno.

use core::ptr::NonNull;

/// An error number, as in errno(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) libc::c_int);

/// An answer of the kernel.
pub(crate) type Result<T> = core::result::Result<T, Errno>;

/// The answer of a call that gives zero, or sets errno.
pub(super) fn answered(status: libc::c_int) -> Result<()> {
    if status == 0 { Ok(()) } else { Err(Errno::last()) }
}

/// The answer of mmap(2) and mremap(2).
pub(super) fn mapped(pointer: *mut libc::c_void) -> Result<NonNull<u8>> {
    if pointer == libc::MAP_FAILED {
        return Err(Errno::last());
    }
    // The kernel maps page zero on request only (`vm.mmap_min_addr`); null counts as no memory.
    NonNull::new(pointer.cast()).ok_or(Errno(libc::ENOMEM))
}

/// Where the calling thread's errno lies.
fn location() -> *mut libc::c_int {
    // SAFETY: no preconditions; the address is this thread's own.
    unsafe { libc::__errno_location() }
}

impl Errno {
    /// The calling thread's errno.
    pub(crate) fn last() -> Self {
        // SAFETY: the address of errno is readable for as long as the thread lives.
        Self(unsafe { *location() })
    }

    /// Sets the calling thread's errno.
    pub(crate) fn set(self) {
        // SAFETY: the address of errno is writable for as long as the thread lives.
        unsafe { *location() = self.0 }
    }
}

/// Restores the caller's errno when it goes out of scope: a free never changes errno.
pub(crate) struct KeepErrno(Errno);

impl KeepErrno {
    pub(crate) fn new() -> Self {
        Self(Errno::last())
    }
}

impl Drop for KeepErrno {
    fn drop(&mut self) {
        self.0.set();
    }
}
