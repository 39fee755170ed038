//! [`Protection`] and [`Sharing`]: which accesses a mapping allows, and who sees its writes.
#![forbid(unsafe_code)]

use core::ffi::c_int;
use core::ops::BitOr;

/// What instructions may do with a mapping's bytes: a set, joined by `|`.
///
/// On most processors writable memory is readable too (mmap(2)). Portable programs request
/// [`READ_WRITE`](Self::READ_WRITE) where they do both.
///
/// ```
/// use freestone::map::Protection;
/// assert_eq!(Protection::READ | Protection::WRITE, Protection::READ_WRITE);
/// assert!(Protection::READ_WRITE.allows(Protection::READ));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protection(c_int);

impl Protection {
    /// Nothing: any access raises `SIGSEGV`.
    pub const NONE: Self = Self(libc::PROT_NONE);
    /// Reading.
    pub const READ: Self = Self(libc::PROT_READ);
    /// Writing.
    pub const WRITE: Self = Self(libc::PROT_WRITE);
    /// Execution.
    pub const EXECUTE: Self = Self(libc::PROT_EXEC);
    /// Reading and writing.
    pub const READ_WRITE: Self = Self(libc::PROT_READ | libc::PROT_WRITE);
    /// Reading and execution.
    pub const READ_EXECUTE: Self = Self(libc::PROT_READ | libc::PROT_EXEC);

    /// Whether everything in `wanted` is allowed.
    #[must_use]
    pub const fn allows(self, wanted: Self) -> bool {
        self.0 & wanted.0 == wanted.0
    }

    pub(super) const fn bits(self) -> c_int {
        self.0
    }
}

impl BitOr for Protection {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Who sees what is written to a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sharing {
    /// This process alone (`MAP_PRIVATE`): a page is copied when it is first written. The file
    /// behind it never changes, and after a fork each side goes its own way.
    Private,
    /// Everyone who maps the same file, and the file itself; children of a fork (`MAP_SHARED`).
    Shared,
}

impl Sharing {
    pub(super) const fn flag(self) -> c_int {
        match self {
            Self::Private => libc::MAP_PRIVATE,
            Self::Shared => libc::MAP_SHARED,
        }
    }
}
