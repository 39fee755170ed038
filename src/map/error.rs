//! [`Error`]: why a request was not met, by the kernel or by this library.
#![forbid(unsafe_code)]

use core::fmt;
use std::io;

use super::advice::{Advice, Discard};
use super::errno::Errno;
use super::explain::{self, Explanation};
use crate::os;

/// Why something about a mapping did not work. Small, `Copy`, and made without allocating.
///
/// ```
/// use freestone::map::Mapping;
/// let error = Mapping::anonymous(0).map().expect_err("no bytes can't be mapped");
/// assert_eq!((error.call_name(), error.errno_name()), (Some("mmap"), Some("EINVAL")));
/// println!("{error}"); // "mmap failed with EINVAL: …", what that means here, and what to do
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The kernel refused.
    #[non_exhaustive]
    Kernel {
        /// The call that was made.
        call: Call,
        /// Its error number.
        errno: Errno,
    },
    /// No kernel could meet the request, or not safely: no call was made.
    Refused(Refusal),
}

/// A call of the kernel, with what decides how its errors are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Call {
    /// mmap(2).
    Mmap(Backing),
    /// munmap(2).
    Munmap,
    /// mprotect(2).
    Mprotect,
    /// mremap(2).
    Mremap,
    /// msync(2).
    Msync,
    /// madvise(2) with advice that keeps every byte.
    Advise(Advice),
    /// madvise(2) with advice that takes bytes away.
    Discard(Discard),
    /// mlock(2), mlock2(2).
    Mlock,
    /// munlock(2).
    Munlock,
    /// mincore(2).
    Mincore,
    /// process_vm_readv(2): [`read_at`](super::Mapping::read_at).
    ReadAt,
    /// process_vm_writev(2): [`write_at`](super::Mapping::write_at).
    WriteAt,
    /// fstat(2): a file's length.
    Fstat,
    /// fstatfs(2): whether a file is made of huge pages.
    Fstatfs,
    /// ftruncate(2): extending a file.
    Ftruncate,
}

/// The kind of memory behind a new mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backing {
    /// Nothing: zeroed memory.
    Anonymous,
    /// Nothing: zeroed memory in reserved huge pages.
    HugePages,
    /// A file that stays as it is.
    PrivateFile,
    /// A file that is written to.
    SharedFile,
}

/// What is wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// A range that is not inside the mapping.
    OutOfBounds,
    /// A range, or an offset to split at, that is not on a page's boundary.
    NotOnAPage,
    /// An alignment or a page size that is no power of two.
    NotAPowerOfTwo,
    /// An address that is null, or not a multiple of the page or of the requested alignment.
    Misaligned,
    /// An offset or a length beyond what an object or a file can have.
    TooLong,
    /// No length was given, and what is to be mapped has none of its own.
    NoLength(FileKind),
    /// A file operation on a mapping without a file.
    NotAFile,
    /// A safe reference to bytes that someone else may change or take away.
    MayChange,
    /// Safe atomics on memory that is not shared, or where a file may be cut short.
    NotSharedMemory,
    /// A reference that the mapping's protection does not allow.
    Protected,
    /// Resizing a mapping that has guard pages.
    Guarded,
    /// Growing shared memory that has no file.
    FixedObject,
    /// The kernel placed the mapping at another address than the fixed one.
    NotPlaced,
    /// No memory for the answer.
    NoMemory,
}

/// What a file is, where it is no regular file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileKind {
    /// A directory.
    Directory,
    /// A pipe, named or not.
    Pipe,
    /// A terminal, or another device read byte by byte.
    CharacterDevice,
    /// A disk, or a part of one.
    BlockDevice,
    /// A socket.
    Socket,
    /// None of these.
    Other,
}

impl Error {
    /// For `map_err`: `call` was refused.
    pub(super) fn of(call: Call) -> impl Fn(os::Errno) -> Self {
        move |errno| Self::Kernel { call, errno: Errno::new(errno.0) }
    }

    /// The call's name as in its man page; none if no call was made.
    #[must_use]
    pub const fn call_name(&self) -> Option<&'static str> {
        match self {
            Self::Kernel { call, .. } => Some(call.name()),
            Self::Refused(_) => None,
        }
    }

    /// The error number; none if no call was made.
    #[must_use]
    pub const fn errno(&self) -> Option<Errno> {
        match self {
            Self::Kernel { errno, .. } => Some(*errno),
            Self::Refused(_) => None,
        }
    }

    /// The error number's name, such as `"EACCES"`.
    #[must_use]
    pub const fn errno_name(&self) -> Option<&'static str> {
        match self {
            Self::Kernel { errno, .. } => Some(errno.name()),
            Self::Refused(_) => None,
        }
    }

    /// What the error means for this call.
    #[must_use]
    pub fn meaning(&self) -> &'static str {
        self.explanation().meaning
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        self.explanation().remedy
    }

    fn explanation(&self) -> Explanation {
        match *self {
            Self::Kernel { call, errno } => explain::kernel(call, errno),
            Self::Refused(refusal) => explain::refusal(refusal),
        }
    }
}

impl Call {
    /// The name as in the man page.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mmap(_) => "mmap",
            Self::Munmap => "munmap",
            Self::Mprotect => "mprotect",
            Self::Mremap => "mremap",
            Self::Msync => "msync",
            Self::Advise(_) | Self::Discard(_) => "madvise",
            Self::Mlock => "mlock",
            Self::Munlock => "munlock",
            Self::Mincore => "mincore",
            Self::ReadAt => "process_vm_readv",
            Self::WriteAt => "process_vm_writev",
            Self::Fstat => "fstat",
            Self::Fstatfs => "fstatfs",
            Self::Ftruncate => "ftruncate",
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Kernel { call, errno } = self {
            write!(f, "{} failed with {errno}: ", call.name())?;
        }
        let Explanation { meaning, remedy } = self.explanation();
        write!(f, "{meaning}; {remedy}")
    }
}

impl core::error::Error for Error {}

impl From<Error> for io::Error {
    /// Keeps the error as the inner one, and the kind that its number has.
    fn from(error: Error) -> Self {
        let kind = match error {
            Error::Kernel { errno, .. } => Self::from_raw_os_error(errno.number()).kind(),
            Error::Refused(Refusal::NoMemory) => io::ErrorKind::OutOfMemory,
            Error::Refused(_) => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}
