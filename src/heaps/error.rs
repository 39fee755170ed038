//! [`Error`]: why a heap could not be made, opened, used or synced.

use core::fmt;
use std::io;

use crate::map;

/// Why a heap could not be made, opened, used or synced.
///
/// It turns into an [`io::Error`], so that `?` serves in functions that answer [`io::Result`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The range could not be mapped (mmap(2)), or not be written back (msync(2)).
    Map(map::Error),
    /// The file could not be opened, read or made longer. A full disk is `ENOSPC` here.
    File(io::Error),
    /// Another process, or another heap of this one, has the file open.
    InUse,
    /// The file is no heap.
    Foreign,
    /// The file is a heap of another version of its format, or of other size classes.
    #[non_exhaustive]
    Version {
        /// The file's.
        found: u64,
        /// What this build reads.
        known: u64,
    },
    /// The file is shorter than it was when it was last synced.
    #[non_exhaustive]
    Truncated {
        /// Its length in bytes.
        length: u64,
        /// The length in bytes that it had at least.
        needed: u64,
    },
    /// The heap's own records are damaged: which of them, or which invariant does not hold.
    Damaged(&'static str),
    /// Something else is mapped where the file has to be. Another process may have room there.
    #[non_exhaustive]
    AddressTaken {
        /// Address at which the file was first mapped, and must be again.
        address: usize,
        /// Bytes from there on that it needs.
        bytes: usize,
    },
    /// The root to be is no block of this heap in use.
    NoBlock,
    /// The heap's lock could not be made or taken: the calling thread holds it already, as in a
    /// signal handler, or the system has no resources for it (pthread_mutex_lock(3)).
    Locked,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Map(error) => error.fmt(f),
            Self::File(error) => write!(f, "the heap's file: {error}"),
            Self::InUse => f.write_str("the heap's file is in use"),
            Self::Foreign => f.write_str("the file is not a heap"),
            Self::Version { found, known } => {
                write!(f, "the file is a heap of version {found:#x}, and this program reads {known:#x}")
            }
            Self::Truncated { length, needed } => {
                write!(f, "the heap's file is cut short: {length} bytes of {needed}")
            }
            Self::Damaged(what) => write!(f, "the heap's file is damaged: {what}"),
            Self::AddressTaken { address, bytes } => {
                write!(f, "{bytes} bytes from {address:#x} on, where the heap has to be mapped, are taken")
            }
            Self::NoBlock => f.write_str("the root must be a block of the heap"),
            Self::Locked => f.write_str("the heap's lock could not be taken"),
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Map(error) => Some(error),
            Self::File(error) => Some(error),
            _ => None,
        }
    }
}

impl From<map::Error> for Error {
    fn from(error: map::Error) -> Self {
        Self::Map(error)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

impl From<Error> for io::Error {
    /// The kernel's own error where there is one; else the kind that fits, with the error inside.
    fn from(error: Error) -> Self {
        let kind = match error {
            Error::File(error) => return error,
            Error::Map(error) => return error.into(),
            Error::InUse => io::ErrorKind::ResourceBusy,
            Error::Foreign | Error::Version { .. } | Error::Damaged(_) => io::ErrorKind::InvalidData,
            Error::Truncated { .. } => io::ErrorKind::UnexpectedEof,
            Error::AddressTaken { .. } => io::ErrorKind::AlreadyExists,
            Error::NoBlock => io::ErrorKind::InvalidInput,
            Error::Locked => io::ErrorKind::Deadlock,
        };
        Self::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn each_says_what_is_wrong_and_with_what() {
        let refused = std::io::Error::from_raw_os_error(libc::ENOSPC);
        let file = Error::from(refused);
        assert!(file.source().is_some() && file.to_string().contains("No space left"), "{file}");
        let cases = [
            (Error::InUse, "in use"),
            (Error::Foreign, "not a heap"),
            (Error::Version { found: 0x70, known: 0x71 }, "version 0x70, and this program reads 0x71"),
            (Error::Truncated { length: 5, needed: 6 }, "5 bytes of 6"),
            (Error::Damaged("the table"), "damaged: the table"),
            (Error::AddressTaken { address: 0x4000, bytes: 8 }, "8 bytes from 0x4000"),
            (Error::NoBlock, "a block of the heap"),
            (Error::Locked, "lock"),
        ];
        for (error, words) in cases {
            assert!(error.source().is_none() && error.to_string().contains(words), "{error}");
        }
    }

    #[test]
    fn an_error_goes_on_as_an_io_error() {
        let full = io::Error::from(Error::from(io::Error::from_raw_os_error(libc::ENOSPC)));
        assert_eq!(full.raw_os_error(), Some(libc::ENOSPC));
        let refused = io::Error::from(Error::from(map::Error::from(map::Refusal::TooLong)));
        assert!(refused.get_ref().is_some_and(|inner| inner.is::<map::Error>()));
        let busy = io::Error::from(Error::InUse);
        assert_eq!(busy.kind(), io::ErrorKind::ResourceBusy);
        assert!(
            busy.get_ref().is_some_and(|inner| inner.is::<Error>()) && busy.to_string().contains("in use")
        );
    }
}
