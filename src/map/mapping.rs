//! [`Mapping`]: mapped memory with one owner, its properties, and how it is cut.

use core::fmt;
use core::num::NonZeroUsize;
use core::ptr::NonNull;

use super::error::{Call, Error};
use super::extent::{Extent, Waste};
use super::span::Span;
use super::{Protection, Sharing};
use crate::os;

/// Mapped memory, unmapped on drop.
///
/// It is a run of whole pages, of which [`len`](Self::len) bytes were requested. Offsets and ranges
/// in all methods are in bytes from the first requested one. Where writes go:
///
/// | | private | shared |
/// | --- | --- | --- |
/// | anonymous | this process's memory: [`as_slice`](Self::as_slice), [`as_mut_slice`](Self::as_mut_slice) | memory of this process and its children: [`as_atomics`](Self::as_atomics) |
/// | file | copies of the file's pages | the file |
///
/// A file may change or be cut short while it is mapped, so references to its bytes are `unsafe`
/// to make ([`assume_stable`](Self::assume_stable)); [`read_at`](Self::read_at) and
/// [`write_at`](Self::write_at) copy, and are safe everywhere.
///
/// A child of a fork has its own mappings, equal to its parent's: dropping one there leaves the
/// other alone. After `exec` there are none (mmap(2)).
///
/// If the kernel can't unmap at drop (`ENOMEM`, at the limit of mappings: munmap(2)), the pages
/// stay mapped; [`unmap`](Self::unmap) answers an error instead.
///
/// Nothing here panics.
#[must_use = "a mapping that is dropped at once is unmapped at once"]
pub struct Mapping {
    pub(super) guard_before: Span,
    pub(super) body: Span,
    pub(super) guard_after: Span,
    pub(super) extent: Extent,
    pub(super) protection: Protection,
    pub(super) sharing: Sharing,
    /// Offset in the file of the first requested byte; none without a file.
    pub(super) file_offset: Option<u64>,
}

/// A mapping that the kernel did not unmap, and why.
#[derive(Debug)]
#[non_exhaustive]
pub struct StillMapped {
    /// The mapping, as it was.
    pub mapping: Mapping,
    /// What munmap(2) answered.
    pub error: Error,
}

impl Mapping {
    /// Requested bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.extent.len()
    }

    /// Always `false`: no mapping is empty (mmap(2)).
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Mapped bytes: those requested and the [`waste`](Self::waste), without guards.
    #[must_use]
    pub const fn mapped_bytes(&self) -> usize {
        self.extent.mapped()
    }

    /// Bytes that are mapped only because pages are mapped whole.
    #[must_use]
    pub fn waste(&self) -> Waste {
        self.extent.waste()
    }

    /// Bytes of one of its pages: an OS page, or a reserved huge page.
    #[must_use]
    pub const fn page_bytes(&self) -> usize {
        self.extent.page().get()
    }

    /// What instructions may do with it.
    #[must_use]
    pub const fn protection(&self) -> Protection {
        self.protection
    }

    /// Who sees what is written to it.
    #[must_use]
    pub const fn sharing(&self) -> Sharing {
        self.sharing
    }

    /// Offset in the file of the first requested byte, in bytes; none without a file.
    #[must_use]
    pub const fn file_offset(&self) -> Option<u64> {
        self.file_offset
    }

    /// Bytes of guard pages before and after.
    #[must_use]
    pub const fn guard_bytes(&self) -> (usize, usize) {
        (self.guard_before.bytes(), self.guard_after.bytes())
    }

    /// The address of the first requested byte.
    #[must_use]
    pub fn address(&self) -> NonZeroUsize {
        self.start().addr()
    }

    /// A pointer to the first requested byte. An access that the protection forbids raises
    /// `SIGSEGV`, one beyond the end of the file `SIGBUS` (mmap(2)). Resizing may move the mapping.
    #[must_use]
    pub fn as_ptr(&self) -> *const u8 {
        self.as_mut_ptr()
    }

    /// As [`as_ptr`](Self::as_ptr), for writing: as with every raw pointer, whoever writes answers
    /// for the references that exist.
    #[must_use]
    pub fn as_mut_ptr(&self) -> *mut u8 {
        self.start().as_ptr()
    }

    /// [`as_mut_ptr`](Self::as_mut_ptr), which is never null.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.body.at(self.extent.before())
    }

    /// Changes what instructions may do with the whole mapping. For a part of it,
    /// [`split_off`](Self::split_off) that part first: it stays where it is.
    ///
    /// # Errors
    /// `EACCES` for writing to a shared mapping of a file that is open for reading only; `ENOMEM`
    /// at the limit of mappings. The protection is then as before.
    pub fn protect(&mut self, protection: Protection) -> Result<(), Error> {
        // SAFETY: the pages are this mapping's own, borrowed mutably: no reference needs them.
        unsafe { os::calls::protect(self.body.start(), self.body.bytes(), protection.bits()) }
            .map_err(Error::of(Call::Mprotect))?;
        self.protection = protection;
        Ok(())
    }

    /// Keeps the bytes before `at`, and answers those from `at` on as a mapping of their own. Both
    /// stay where they are, and no system call is made. Dropping either unmaps its part.
    ///
    /// ```
    /// use freestone::map::{Mapping, Protection};
    /// let page = Mapping::anonymous(1).map()?.page_bytes();
    /// let mut front = Mapping::anonymous(3 * page).map()?;
    /// let mut middle = front.split_off(page)?;
    /// let back = middle.split_off(page)?;
    /// middle.protect(Protection::READ)?; // a part with a protection of its own,
    /// drop(front); // and a part that is gone
    /// assert_eq!((middle.len(), back.len()), (page, page));
    /// # Ok::<(), freestone::map::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Refusal::NotOnAPage`](super::Refusal::NotOnAPage) unless `at` is on a page's boundary:
    /// a multiple of [`page_bytes`](Self::page_bytes) less [`waste().before`](Waste::before);
    /// [`Refusal::OutOfBounds`](super::Refusal::OutOfBounds) if either part would be empty.
    pub fn split_off(&mut self, at: usize) -> Result<Self, Error> {
        let (front, back) = self.extent.split(at)?;
        let body = self.body.split_off(front.mapped());
        self.extent = front;
        Ok(Self {
            guard_before: Span::empty(body.start()),
            body,
            guard_after: self.guard_after.split_off(0),
            extent: back,
            protection: self.protection,
            sharing: self.sharing,
            file_offset: self.file_offset.map(|offset| offset.saturating_add(at as u64)),
        })
    }

    /// Unmaps now, and answers whether that worked. Dropping does the same without an answer.
    ///
    /// # Errors
    /// munmap(2)'s `ENOMEM`, with the mapping, which is as before.
    pub fn unmap(mut self) -> Result<(), StillMapped> {
        let nothing = Span::empty(self.body.start());
        match core::mem::replace(&mut self.body, nothing).unmap() {
            Ok(()) => Ok(()),
            Err((body, errno)) => {
                self.body = body;
                Err(StillMapped { mapping: self, error: Error::of(Call::Munmap)(errno) })
            }
        }
    }
}

impl fmt::Display for StillMapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl core::error::Error for StillMapped {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapping")
            .field("address", &self.as_ptr())
            .field("len", &self.len())
            .field("mapped_bytes", &self.mapped_bytes())
            .field("guard_bytes", &self.guard_bytes())
            .field("protection", &self.protection)
            .field("sharing", &self.sharing)
            .field("file_offset", &self.file_offset)
            .finish_non_exhaustive()
    }
}
