//! Which pages are in memory: mincore(2).

use core::ops::RangeBounds;

use super::Mapping;
use super::error::{Call, Error, Refusal};
use super::extent::Pages;
use crate::os;

/// Which OS pages of a range were in memory when the kernel was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Residency {
    /// A byte for each page, of which mincore(2) defines the lowest bit.
    pages: Vec<u8>,
}

impl Residency {
    /// For each OS page, front to back, whether it was in memory.
    #[must_use]
    pub fn pages(&self) -> impl ExactSizeIterator<Item = bool> + '_ {
        self.pages.iter().map(|page| page & 1 == 1)
    }

    /// Pages in memory.
    #[must_use]
    pub fn resident_pages(&self) -> usize {
        self.pages().filter(|resident| *resident).count()
    }

    /// Bytes in memory.
    #[must_use]
    pub fn resident_bytes(&self) -> usize {
        self.resident_pages().saturating_mul(os::page_bytes())
    }
}

impl Mapping {
    /// Asks which OS pages that `range` touches are in memory (mincore(2)): for files, in the page
    /// cache, whoever brought them in. The answer may be out of date at once. Of a file that
    /// the caller neither owns nor may write, the kernel calls every page resident
    /// (since Linux 5.2).
    ///
    /// # Errors
    /// [`Refusal::NoMemory`] when a byte for each page can't be had.
    pub fn residency(&self, range: impl RangeBounds<usize>) -> Result<Residency, Error> {
        let Pages { from, bytes } = self.extent.pages_touching(&range)?;
        // The OS page is a power of two, so this is its logarithm.
        let count = bytes >> os::page_bytes().trailing_zeros();
        let mut pages = Vec::new();
        pages.try_reserve_exact(count).map_err(|_| Refusal::NoMemory)?;
        // SAFETY: a byte for each page is reserved.
        unsafe { os::calls::residency(self.body.at(from), bytes, pages.as_mut_ptr()) }
            .map_err(Error::of(Call::Mincore))?;
        // SAFETY: mincore succeeded, so it wrote a byte for each page.
        unsafe { pages.set_len(count) };
        Ok(Residency { pages })
    }
}
