//! Error numbers, and keeping the caller's.

/// An error number, as in errno(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) libc::c_int);

fn place() -> *mut libc::c_int {
    // SAFETY: no preconditions; the address is this thread's own.
    unsafe { libc::__errno_location() }
}

impl Errno {
    /// What the calling thread's last failed call left.
    pub(crate) fn last() -> Self {
        // SAFETY: the address of errno is readable for as long as the thread lives.
        Self(unsafe { *place() })
    }

    /// Leaves this number for the calling thread to find.
    pub(crate) fn set(self) {
        // SAFETY: the address of errno is writable for as long as the thread lives.
        unsafe { *place() = self.0 }
    }
}

/// Puts the caller's `errno` back when it goes out of scope: a free never changes it.
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
