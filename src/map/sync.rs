//! From memory to the file's device: msync(2).

use core::ffi::c_int;
use core::ops::RangeBounds;

use super::Mapping;
use super::error::{Call, Error};
use super::extent::Pages;
use crate::os;

/// How [`Mapping::sync`] writes back: the flags of msync(2).
///
/// None of this decides what other processes *see*: on Linux a file's readers and its shared
/// mappings use the same pages, so a write is visible to all of them at once. It decides which
/// bytes the *device* has if the machine stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Msync {
    /// `MS_ASYNC`: the pages are to be written some time. On Linux a no-op since 2.6.19: they
    /// would be anyway.
    Async,
    /// `MS_SYNC`: the pages are written, and the call answers when they are.
    Sync,
    /// `MS_INVALIDATE`: other mappings of the file are to see what was written. On Linux they do
    /// already; what is left is `EBUSY` if a page is locked.
    Invalidate,
    /// `MS_ASYNC | MS_INVALIDATE`.
    AsyncInvalidate,
    /// `MS_SYNC | MS_INVALIDATE`.
    SyncInvalidate,
}

impl Msync {
    const fn flags(self) -> c_int {
        match self {
            Self::Async => libc::MS_ASYNC,
            Self::Sync => libc::MS_SYNC,
            Self::Invalidate => libc::MS_INVALIDATE,
            Self::AsyncInvalidate => libc::MS_ASYNC | libc::MS_INVALIDATE,
            Self::SyncInvalidate => libc::MS_SYNC | libc::MS_INVALIDATE,
        }
    }
}

impl Mapping {
    /// Synchronises every page that `range` touches with the file's device; `..` is all of it. Of
    /// private and anonymous memory nothing is written.
    ///
    /// # Errors
    /// `EIO` or `ENOSPC` when writing failed, now or earlier: some of what was written is lost.
    /// `EBUSY` when invalidating locked pages.
    pub fn sync(&self, range: impl RangeBounds<usize>, how: Msync) -> Result<(), Error> {
        let Pages { from, bytes } = self.extent.pages_touching(&range)?;
        os::calls::sync(self.body.at(from), bytes, how.flags()).map_err(Error::of(Call::Msync))
    }
}
