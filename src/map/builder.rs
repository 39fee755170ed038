//! [`Builder`]: what is to be mapped.

use core::ffi::c_int;
use std::os::fd::{AsFd, BorrowedFd};

use super::advice::Advice;
use super::error::{Backing, Call, Error, Refusal};
use super::extent::{Extent, PageBytes};
use super::file;
use super::huge::HugePages;
use super::placement::{self, Address, Placed, Request, Surroundings};
use super::{Mapping, Protection, Sharing};

/// A mapping to be: made by [`Mapping::anonymous`] or [`Mapping::file`], turned into one by
/// [`map`](Self::map). Lengths, offsets and addresses are in bytes.
///
/// ```
/// use freestone::map::{Mapping, Protection};
/// let page = Mapping::anonymous(1).map()?.page_bytes();
/// // A stack's memory: aligned, with a guard below, and promised no swap space.
/// let stack = Mapping::anonymous(1 << 20).align(1 << 16).guard_before(page).no_reserve().map()?;
/// assert!(stack.address().get().is_multiple_of(1 << 16));
/// assert_eq!(stack.guard_bytes(), (page, 0));
/// assert_eq!(stack.protection(), Protection::READ_WRITE);
/// # Ok::<(), freestone::map::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is mapped before `map`"]
pub struct Builder<'f> {
    file: Option<BorrowedFd<'f>>,
    file_length: FileLength,
    offset: u64,
    len: Option<usize>,
    sharing: Sharing,
    protection: Protection,
    address: Address,
    align: usize,
    guard_before: usize,
    guard_after: usize,
    huge_pages: Option<HugePages>,
    flags: c_int,
}

/// What happens to a file that is shorter than its mapping.
#[derive(Clone, Copy, Debug)]
enum FileLength {
    AsItIs,
    Extended,
}

impl Mapping {
    /// `len` bytes of zeroed memory: by default private, readable and writable.
    ///
    /// ```
    /// use freestone::map::Mapping;
    /// let mut memory = Mapping::anonymous(10_000).map()?;
    /// memory.as_mut_slice()?.fill(1);
    /// # Ok::<(), freestone::map::Error>(())
    /// ```
    pub const fn anonymous(len: usize) -> Builder<'static> {
        Builder { len: Some(len), protection: Protection::READ_WRITE, ..Builder::new(None) }
    }

    /// The bytes of `file`: by default all of them, read-only and private. The mapping stays when
    /// the file is closed (mmap(2)).
    ///
    /// ```
    /// use freestone::map::Mapping;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("text");
    /// std::fs::write(&path, "hello")?;
    /// let text = Mapping::file(&std::fs::File::open(&path)?).map()?;
    /// let mut bytes = [0; 5];
    /// assert_eq!((text.len(), text.read_at(0, &mut bytes)?), (5, 5));
    /// assert_eq!(&bytes, b"hello");
    /// # Ok(())
    /// # }
    /// ```
    pub fn file<'f>(file: &'f impl AsFd) -> Builder<'f> {
        Builder::new(Some(file.as_fd()))
    }
}

impl<'f> Builder<'f> {
    const fn new(file: Option<BorrowedFd<'f>>) -> Self {
        Self {
            file,
            file_length: FileLength::AsItIs,
            offset: 0,
            len: None,
            sharing: Sharing::Private,
            protection: Protection::READ,
            address: Address::Anywhere,
            align: 1,
            guard_before: 0,
            guard_after: 0,
            huge_pages: None,
            flags: 0,
        }
    }

    /// Starts `offset` bytes into the file, any number of them; ignored without a file.
    pub const fn offset(self, offset: u64) -> Self {
        Self { offset, ..self }
    }

    /// Maps `len` bytes. Without this, a regular file is mapped to its end.
    pub const fn len(self, len: usize) -> Self {
        Self { len: Some(len), ..self }
    }

    /// Makes the file longer (ftruncate(2)) if the mapping would reach beyond its end. It must
    /// be open for writing. The new part is a hole that reads as zero; on a full disk the first
    /// write to it raises `SIGBUS`, which only posix_fallocate(3) beforehand prevents. What another
    /// process appends at the same moment may be cut off.
    pub const fn extend_file(self) -> Self {
        Self { file_length: FileLength::Extended, ..self }
    }

    /// Shares what is written ([`Sharing::Shared`]).
    pub const fn shared(self) -> Self {
        Self { sharing: Sharing::Shared, ..self }
    }

    /// Keeps what is written to this process ([`Sharing::Private`]): the default.
    pub const fn private(self) -> Self {
        Self { sharing: Sharing::Private, ..self }
    }

    /// Allows `protection`, and nothing else.
    pub const fn protection(self, protection: Protection) -> Self {
        Self { protection, ..self }
    }

    /// Tries `address` first; the kernel rounds it, and goes elsewhere if it is taken.
    pub const fn hint(self, address: usize) -> Self {
        Self { address: Address::Hint(address), ..self }
    }

    /// Places the first page at `address` or fails with `EEXIST`: what is mapped there already is
    /// never overwritten (`MAP_FIXED_NOREPLACE`).
    pub const fn exactly_at(self, address: usize) -> Self {
        Self { address: Address::Exactly(address), ..self }
    }

    /// Puts the first page on a multiple of `align` bytes, a power of two. Costs up to `align`
    /// bytes of address space for the moment of mapping.
    pub const fn align(self, align: usize) -> Self {
        Self { align, ..self }
    }

    /// Puts at least `bytes` of address space without access before the first page: guard pages.
    /// They take no memory, but count as a mapping.
    pub const fn guard_before(self, bytes: usize) -> Self {
        Self { guard_before: bytes, ..self }
    }

    /// As [`guard_before`](Self::guard_before), after the last page. Bytes in the last page
    /// beyond the requested length ([`waste`](Mapping::waste)) are not guarded.
    pub const fn guard_after(self, bytes: usize) -> Self {
        Self { guard_after: bytes, ..self }
    }

    /// Uses huge pages.
    pub const fn huge_pages(self, huge_pages: HugePages) -> Self {
        Self { huge_pages: Some(huge_pages), ..self }
    }

    /// Locks the pages into memory (`MAP_LOCKED`), which counts against `RLIMIT_MEMLOCK`. Unlike
    /// after [`Mapping::lock`], a page that could not be had at once is no error, and faults
    /// later (mmap(2)).
    pub const fn locked(self) -> Self {
        self.with(libc::MAP_LOCKED)
    }

    /// Promises no memory or swap space (`MAP_NORESERVE`): more can be mapped, and a write
    /// may find none left, and the process be killed. Ignored where `vm.overcommit_memory` is 2.
    pub const fn no_reserve(self) -> Self {
        self.with(libc::MAP_NORESERVE)
    }

    /// Brings all pages in now (`MAP_POPULATE`), so that no access waits for one. Mapping does
    /// not fail if that does (mmap(2)); [`Advice::PopulateWrite`] does.
    pub const fn populate(self) -> Self {
        self.with(libc::MAP_POPULATE)
    }

    /// Lets the mapping grow downwards like a stack (`MAP_GROWSDOWN`), by being touched right below
    /// its start, up to `RLIMIT_STACK`, and until it comes near the mapping below (256 pages,
    /// unless the kernel's `stack_guard_gap` says otherwise). Private anonymous memory only. What
    /// it gains lies before [`as_ptr`](Mapping::as_ptr), is not part of the [`Mapping`], and
    /// **stays mapped** when that is dropped. Rarely what you want: a large mapping with
    /// [`no_reserve`](Self::no_reserve) takes memory only where it is touched, too.
    pub const fn grows_down(self) -> Self {
        self.with(libc::MAP_GROWSDOWN)
    }

    const fn with(self, flag: c_int) -> Self {
        Self { flags: self.flags | flag, ..self }
    }

    /// Maps.
    ///
    /// # Errors
    /// Those of mmap(2), in words: [`Error::meaning`]. Nothing is left mapped. A file that was to
    /// be extended may have been.
    pub fn map(self) -> Result<Mapping, Error> {
        if !self.align.is_power_of_two() {
            return Err(Refusal::NotAPowerOfTwo.into());
        }
        let page = self.page()?;
        let offset = if self.file.is_some() { self.offset } else { 0 };
        let extent = Extent::new(offset, self.wanted_len()?, page)?;
        let file = self.file.map(|file| Ok::<_, Error>((file, page_start(offset, &extent)?))).transpose()?;
        if let (Some(file), FileLength::Extended) = (self.file, self.file_length) {
            file::extend(file, end_of(offset, extent.len())?)?;
        }
        let Placed { guard_before, body, guard_after } = placement::place(
            &Request {
                bytes: extent.mapped(),
                protection: self.protection.bits(),
                flags: self.all_flags(),
                file,
                call: Call::Mmap(self.backing()),
            },
            &Surroundings {
                address: self.address,
                guard_before: page.round_up(self.guard_before)?,
                guard_after: page.round_up(self.guard_after)?,
                align: self.align.max(page.get()),
                page: page.get(),
            },
        )?;
        let mapping = Mapping {
            guard_before,
            body,
            guard_after,
            extent,
            protection: self.protection,
            sharing: self.sharing,
            file_offset: self.file.map(|_| offset),
        };
        if let Some(HugePages::Transparent) = self.huge_pages {
            mapping.advise(.., Advice::HugePages)?;
        }
        Ok(mapping)
    }

    fn page(&self) -> Result<PageBytes, Error> {
        match (self.huge_pages, self.file) {
            (Some(HugePages::Reserved(bytes)), _) => Ok(PageBytes::new(bytes)?),
            (_, Some(file)) => file::page_of(file),
            (_, None) => Ok(PageBytes::os()),
        }
    }

    fn wanted_len(&self) -> Result<usize, Error> {
        match (self.len, self.file) {
            (Some(len), _) => Ok(len),
            (None, Some(file)) => file::bytes_from(file, self.offset),
            (None, None) => Ok(0),
        }
    }

    fn all_flags(&self) -> c_int {
        let anonymous = if self.file.is_none() { libc::MAP_ANONYMOUS } else { 0 };
        self.flags | anonymous | self.sharing.flag() | self.huge_pages.map_or(0, HugePages::flags)
    }

    const fn backing(&self) -> Backing {
        match (self.file, self.sharing, self.huge_pages) {
            (_, _, Some(HugePages::Reserved(_))) => Backing::HugePages,
            (None, _, _) => Backing::Anonymous,
            (Some(_), Sharing::Private, _) => Backing::PrivateFile,
            (Some(_), Sharing::Shared, _) => Backing::SharedFile,
        }
    }
}

/// Offset in the file of the first page.
fn page_start(offset: u64, extent: &Extent) -> Result<libc::off_t, Error> {
    let start = offset.saturating_sub(extent.before() as u64);
    libc::off_t::try_from(start).map_err(|_| Refusal::TooLong.into())
}

/// Bytes that a file must have for its mapping to lie inside.
pub(super) fn end_of(offset: u64, len: usize) -> Result<u64, Refusal> {
    offset.checked_add(len as u64).ok_or(Refusal::TooLong)
}
