//! Error numbers by name.
#![forbid(unsafe_code)]

use core::fmt;

/// An error number of the kernel's, as in errno(3).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(i32);

impl Errno {
    pub(super) const fn new(number: i32) -> Self {
        Self(number)
    }

    /// The number, as in `std::io::Error::raw_os_error`.
    #[must_use]
    pub const fn number(self) -> i32 {
        self.0
    }

    /// The name, such as `"ENOMEM"`; `"unknown"` for a number that no call here answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self.0 {
            libc::EACCES => "EACCES",
            libc::EAGAIN => "EAGAIN",
            libc::EBADF => "EBADF",
            libc::EBUSY => "EBUSY",
            libc::EEXIST => "EEXIST",
            libc::EFAULT => "EFAULT",
            libc::EFBIG => "EFBIG",
            libc::EHWPOISON => "EHWPOISON",
            libc::EINTR => "EINTR",
            libc::EINVAL => "EINVAL",
            libc::EIO => "EIO",
            libc::EISDIR => "EISDIR",
            libc::EMFILE => "EMFILE",
            libc::ENFILE => "ENFILE",
            libc::ENODEV => "ENODEV",
            libc::ENOENT => "ENOENT",
            libc::ENOMEM => "ENOMEM",
            libc::ENOSPC => "ENOSPC",
            libc::ENOSYS => "ENOSYS",
            libc::ENXIO => "ENXIO",
            libc::EOPNOTSUPP => "EOPNOTSUPP",
            libc::EOVERFLOW => "EOVERFLOW",
            libc::EPERM => "EPERM",
            libc::EROFS => "EROFS",
            libc::ESRCH => "ESRCH",
            libc::ETXTBSY => "ETXTBSY",
            _ => "unknown",
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.0)
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
