//! Advice about a mapping's use, and giving its memory back: madvise(2).

use core::ffi::c_int;
use core::ops::RangeBounds;

use super::error::{Call, Error};
use super::extent::Pages;
use super::{Mapping, Protection};
use crate::os;

/// Advice that keeps every byte, from madvise(2). Kernels older than the version named answer
/// `EINVAL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Advice {
    /// No special treatment: the default.
    Normal,
    /// Access in no order: little is read ahead.
    Random,
    /// Access from the front to the back: much is read ahead, and may be dropped soon after.
    Sequential,
    /// Access soon: reading a file starts now, without waiting for it.
    WillNeed,
    /// Not needed for a while: reclaim these pages first (Linux 5.4).
    Cold,
    /// Not needed for a while: reclaim these pages now, to swap or to their file (Linux 5.4).
    PageOut,
    /// Bring the pages in for reading, and say if that fails (Linux 5.14).
    PopulateRead,
    /// Bring the pages in for writing, and say if that fails (Linux 5.14).
    PopulateWrite,
    /// Use transparent huge pages where the range holds whole ones.
    HugePages,
    /// Use no transparent huge pages.
    NoHugePages,
    /// Make transparent huge pages of what is there, now (Linux 6.1).
    Collapse,
    /// Let the kernel share pages of equal content (KSM).
    Mergeable,
    /// Undo [`Mergeable`](Self::Mergeable).
    Unmergeable,
    /// Leave the pages out of core dumps.
    DontDump,
    /// Undo [`DontDump`](Self::DontDump).
    DoDump,
    /// A child of a fork finds no mapping here.
    DontFork,
    /// Undo [`DontFork`](Self::DontFork).
    DoFork,
    /// A child of a fork finds zeros here; private anonymous memory only (Linux 4.14).
    WipeOnFork,
    /// Undo [`WipeOnFork`](Self::WipeOnFork).
    KeepOnFork,
}

/// Advice that takes bytes away, from madvise(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Discard {
    /// `MADV_DONTNEED`: this mapping's pages go. Private anonymous memory reads as zero
    /// afterwards, a private mapping of a file as the file; shared memory loses nothing.
    Pages,
    /// `MADV_REMOVE`: the file's (or shared memory's) bytes go: a hole that reads as zero.
    Storage,
    /// `MADV_FREE`: the kernel may take the pages at any time until they are next written;
    /// see [`Mapping::free`]. Private anonymous memory only (Linux 4.5).
    Lazily,
}

impl Advice {
    const fn value(self) -> c_int {
        match self {
            Self::Normal => libc::MADV_NORMAL,
            Self::Random => libc::MADV_RANDOM,
            Self::Sequential => libc::MADV_SEQUENTIAL,
            Self::WillNeed => libc::MADV_WILLNEED,
            Self::Cold => libc::MADV_COLD,
            Self::PageOut => libc::MADV_PAGEOUT,
            Self::PopulateRead => libc::MADV_POPULATE_READ,
            Self::PopulateWrite => libc::MADV_POPULATE_WRITE,
            Self::HugePages => libc::MADV_HUGEPAGE,
            Self::NoHugePages => libc::MADV_NOHUGEPAGE,
            // From madvise(2)'s header; not every C library names it.
            Self::Collapse => 25,
            Self::Mergeable => libc::MADV_MERGEABLE,
            Self::Unmergeable => libc::MADV_UNMERGEABLE,
            Self::DontDump => libc::MADV_DONTDUMP,
            Self::DoDump => libc::MADV_DODUMP,
            Self::DontFork => libc::MADV_DONTFORK,
            Self::DoFork => libc::MADV_DOFORK,
            Self::WipeOnFork => libc::MADV_WIPEONFORK,
            Self::KeepOnFork => libc::MADV_KEEPONFORK,
        }
    }
}

impl Discard {
    const fn value(self) -> c_int {
        match self {
            Self::Pages => libc::MADV_DONTNEED,
            Self::Storage => libc::MADV_REMOVE,
            Self::Lazily => libc::MADV_FREE,
        }
    }
}

impl Mapping {
    /// Gives advice about every page that `range` touches.
    ///
    /// [`DontFork`](Advice::DontFork) and [`WipeOnFork`](Advice::WipeOnFork) change what a child
    /// finds: whoever forks answers for the references that the child still holds.
    ///
    /// # Errors
    /// `EINVAL` where the kernel or the kind of mapping does not know the advice, `EFAULT` when
    /// populating beyond the end of a file, `ENOMEM`, `EAGAIN`: see [`Error::meaning`].
    pub fn advise(&self, range: impl RangeBounds<usize>, advice: Advice) -> Result<(), Error> {
        let Pages { from, bytes } = self.extent.pages_touching(&range)?;
        // SAFETY: the pages are this mapping's own, and none of this advice changes a byte.
        unsafe { os::calls::advise(self.body.at(from), bytes, advice.value()) }
            .map_err(Error::of(Call::Advise(advice)))
    }

    /// Gives the memory of whole pages back at once (`MADV_DONTNEED`). Afterwards private
    /// anonymous memory reads as zero, a private mapping of a file as the file; a shared mapping
    /// keeps its contents. After an error part of the range may be gone already.
    ///
    /// # Errors
    /// [`Refusal::NotOnAPage`](super::Refusal::NotOnAPage) unless `range` begins and ends on
    /// pages (or where the mapping does); `EINVAL` for locked memory.
    pub fn discard(&mut self, range: impl RangeBounds<usize>) -> Result<(), Error> {
        let pages = self.extent.pages_of(&range)?;
        self.give_back(pages, Discard::Pages)
    }

    /// Frees what stores whole pages of a shared mapping (`MADV_REMOVE`): they read as zero
    /// afterwards, for everyone, and a file keeps its length.
    ///
    /// # Errors
    /// [`Refusal::NotOnAPage`](super::Refusal::NotOnAPage) unless `range` is whole pages to the
    /// byte; [`Refusal::Protected`](super::Refusal::Protected) if writing is forbidden; `EACCES`
    /// for a private mapping; `EOPNOTSUPP` where the file system can't.
    pub fn punch_hole(&mut self, range: impl RangeBounds<usize>) -> Result<(), Error> {
        // Newer kernels ask only whether the file was opened for writing.
        self.require(Protection::WRITE)?;
        let pages = self.extent.pages_exactly(&range)?;
        self.give_back(pages, Discard::Storage)
    }

    /// Lets the kernel take whole pages of private anonymous memory when it needs some
    /// (`MADV_FREE`): cheaper than [`discard`](Self::discard) if they are soon written again.
    ///
    /// # Safety
    /// Until a page is next written, each read may find its old bytes or zeros, and change its
    /// mind: no reference may be made to it before every page of the range has been written
    /// through a pointer.
    ///
    /// # Errors
    /// As [`discard`](Self::discard); `EINVAL` for files and shared memory too.
    pub unsafe fn free(&mut self, range: impl RangeBounds<usize>) -> Result<(), Error> {
        let pages = self.extent.pages_of(&range)?;
        self.give_back(pages, Discard::Lazily)
    }

    fn give_back(&mut self, pages: Pages, discard: Discard) -> Result<(), Error> {
        // SAFETY: the pages are this mapping's own, borrowed mutably, so no reference into them
        // is alive; `Lazily` comes from `free` alone, whose caller answers for later ones.
        unsafe { os::calls::advise(self.body.at(pages.from), pages.bytes, discard.value()) }
            .map_err(Error::of(Call::Discard(discard)))
    }
}
