//! From the requested bytes to the pages they take, and back: arithmetic, no unsafe.
#![forbid(unsafe_code)]

use core::ops::{Bound, Range, RangeBounds};

use super::error::Refusal;
use crate::base::address::{align_down, align_up};
use crate::os;

/// Bytes of the pages that a mapping is made of: a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageBytes(usize);

impl PageBytes {
    /// The OS page.
    pub(super) fn os() -> Self {
        Self(os::page_bytes())
    }

    /// A page of `bytes`, of which there are none below the OS page.
    pub(super) fn new(bytes: usize) -> Result<Self, Refusal> {
        if bytes.is_power_of_two() {
            Ok(Self(bytes.max(os::page_bytes())))
        } else {
            Err(Refusal::NotAPowerOfTwo)
        }
    }

    pub(super) const fn get(self) -> usize {
        self.0
    }

    /// `bytes` rounded up to whole pages, unless no object could be that long.
    pub(super) fn round_up(self, bytes: usize) -> Result<usize, Refusal> {
        let rounded = align_up(bytes, self.0);
        if rounded < bytes || isize::try_from(rounded).is_err() { Err(Refusal::TooLong) } else { Ok(rounded) }
    }

    const fn divides(self, value: usize) -> bool {
        align_down(value, self.0) == value
    }
}

/// Bytes that are mapped only because mappings are made of whole pages.
///
/// Those before are the file's own; those after are too, up to its end, and zero beyond it,
/// where what is written is lost (mmap(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waste {
    /// Bytes from the first page's start to the first requested byte.
    pub before: usize,
    /// Bytes from the last requested byte to the last page's end.
    pub after: usize,
}

/// The requested bytes, as they lie in their pages.
///
/// Equation: `before + len + after == mapped`, `before < page`, `after < page`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    before: usize,
    len: usize,
    mapped: usize,
    page: PageBytes,
}

/// A run of whole pages inside a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pages {
    /// Bytes from the mapping's first page to the run.
    pub(super) from: usize,
    /// Bytes of the run.
    pub(super) bytes: usize,
}

impl Extent {
    /// `len` bytes, starting at `offset` in a file of pages.
    pub(super) fn new(offset: u64, len: usize, page: PageBytes) -> Result<Self, Refusal> {
        // The remainder is below the page, so the cast loses nothing.
        let before = offset as usize & page.0.wrapping_sub(1);
        Self::at(before, len, page)
    }

    /// `len` bytes, starting `before` bytes into the first page. No bytes take no pages, so
    /// that it is the kernel that says what it thinks of an empty mapping.
    fn at(before: usize, len: usize, page: PageBytes) -> Result<Self, Refusal> {
        let mapped = match len {
            0 => 0,
            _ => page.round_up(before.checked_add(len).ok_or(Refusal::TooLong)?)?,
        };
        Ok(Self { before, len, mapped, page })
    }

    pub(super) const fn before(&self) -> usize {
        self.before
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) const fn mapped(&self) -> usize {
        self.mapped
    }

    pub(super) const fn page(&self) -> PageBytes {
        self.page
    }

    pub(super) fn waste(&self) -> Waste {
        let used = self.before.saturating_add(self.len);
        Waste { before: self.before, after: self.mapped.saturating_sub(used) }
    }

    /// The same beginning, another length.
    pub(super) fn with_len(&self, len: usize) -> Result<Self, Refusal> {
        Self::at(self.before, len, self.page)
    }

    /// The two parts that `at`, a page's boundary, makes of it.
    pub(super) fn split(&self, at: usize) -> Result<(Self, Self), Refusal> {
        if at == 0 || at >= self.len {
            return Err(Refusal::OutOfBounds);
        }
        if !self.page.divides(self.before.saturating_add(at)) {
            return Err(Refusal::NotOnAPage);
        }
        Ok((self.with_len(at)?, Self::at(0, self.len.saturating_sub(at), self.page)?))
    }

    /// `range` as plain numbers, if it lies inside.
    pub(super) fn resolve(&self, range: &impl RangeBounds<usize>) -> Result<Range<usize>, Refusal> {
        let start = match range.start_bound() {
            Bound::Included(start) => Some(*start),
            Bound::Excluded(start) => start.checked_add(1),
            Bound::Unbounded => Some(0),
        };
        let end = match range.end_bound() {
            Bound::Included(end) => end.checked_add(1),
            Bound::Excluded(end) => Some(*end),
            Bound::Unbounded => Some(self.len),
        };
        match (start, end) {
            (Some(start), Some(end)) if start <= end && end <= self.len => Ok(start..end),
            _ => Err(Refusal::OutOfBounds),
        }
    }

    /// Every page that `range` touches: for what does no harm to its neighbours.
    pub(super) fn pages_touching(&self, range: &impl RangeBounds<usize>) -> Result<Pages, Refusal> {
        let Range { start, end } = self.resolve(range)?;
        let from = align_down(self.before.saturating_add(start), self.page.0);
        if start == end {
            return Ok(Pages { from, bytes: 0 });
        }
        let to = align_up(self.before.saturating_add(end), self.page.0);
        Ok(Pages { from, bytes: to.saturating_sub(from) })
    }

    /// The pages of a `range` that begins and ends on a page, or where the mapping does: for
    /// what takes bytes from this mapping.
    pub(super) fn pages_of(&self, range: &impl RangeBounds<usize>) -> Result<Pages, Refusal> {
        let Range { start, end } = self.resolve(range)?;
        let starts = start == 0 || self.page.divides(self.before.saturating_add(start));
        let ends = end == self.len || self.page.divides(self.before.saturating_add(end));
        if starts && ends { self.pages_touching(&(start..end)) } else { Err(Refusal::NotOnAPage) }
    }

    /// The pages of a `range` that begins and ends on a page, with no byte beside it: for
    /// what takes bytes from the file.
    pub(super) fn pages_exactly(&self, range: &impl RangeBounds<usize>) -> Result<Pages, Refusal> {
        let Range { start, end } = self.resolve(range)?;
        let pages = self.pages_touching(&(start..end))?;
        if pages.bytes == end.saturating_sub(start) { Ok(pages) } else { Err(Refusal::NotOnAPage) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: PageBytes = PageBytes(1 << 16);

    fn extent(offset: u64, len: usize) -> Extent {
        Extent::new(offset, len, PAGE).expect("a sensible extent")
    }

    #[test]
    fn the_equation_holds_for_any_offset_and_length() {
        for offset in [0, 1, 65535, 65536, 65537, 1 << 40] {
            for len in [1, 2, 65534, 65535, 65536, 65537, 1 << 20] {
                let extent = extent(offset, len);
                let Waste { before, after } = extent.waste();
                assert_eq!(before + len + after, extent.mapped());
                assert!(before < PAGE.0 && after < PAGE.0 && PAGE.divides(extent.mapped()));
                assert!(PAGE.divides((offset - before as u64) as usize));
            }
        }
    }

    #[test]
    fn what_no_object_could_be_is_refused() {
        for len in [usize::MAX, isize::MAX as usize, isize::MAX as usize + 1] {
            assert_eq!(Extent::new(1, len, PAGE).expect_err("too long"), Refusal::TooLong);
        }
        assert_eq!(PageBytes::new(3).expect_err("no page"), Refusal::NotAPowerOfTwo);
    }

    #[test]
    fn ranges_become_pages() {
        let extent = extent(10, 200_000);
        assert_eq!(extent.pages_touching(&..), Ok(Pages { from: 0, bytes: 4 << 16 }));
        assert_eq!(extent.pages_touching(&(65_525..=65_526)), Ok(Pages { from: 0, bytes: 2 << 16 }));
        assert_eq!(extent.pages_touching(&(70_000..70_000)), Ok(Pages { from: 1 << 16, bytes: 0 }));
        assert_eq!(extent.pages_touching(&(0..200_001)), Err(Refusal::OutOfBounds));
        assert_eq!(extent.pages_of(&..), Ok(Pages { from: 0, bytes: 4 << 16 }));
        assert_eq!(extent.pages_of(&(65_526..)), Ok(Pages { from: 1 << 16, bytes: 3 << 16 }));
        assert_eq!(extent.pages_of(&(65_527..)), Err(Refusal::NotOnAPage));
        assert_eq!(extent.pages_exactly(&..), Err(Refusal::NotOnAPage));
        assert_eq!(extent.pages_exactly(&(65_526..131_062)), Ok(Pages { from: 1 << 16, bytes: 1 << 16 }));
    }

    #[test]
    fn a_split_keeps_every_byte() {
        let whole = extent(10, 200_000);
        let (front, back) = whole.split(65_526).expect("a page's boundary");
        assert_eq!(front.len() + back.len(), whole.len());
        assert_eq!(front.mapped() + back.mapped(), whole.mapped());
        assert_eq!(whole.split(65_527).expect_err("inside a page"), Refusal::NotOnAPage);
        assert_eq!(whole.split(0).expect_err("nothing in front"), Refusal::OutOfBounds);
        assert_eq!(whole.split(200_000).expect_err("nothing behind"), Refusal::OutOfBounds);
    }
}
