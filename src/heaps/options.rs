//! [`Options`]: the limit of a heap to be, and the functions that make one.

use std::path::Path;

use super::backing::{Backing, File, Private, Shared};
use super::error::Error;
use super::file;
use super::geometry::{self, Geometry};
use super::heap::Heap;
use crate::base::config::CHUNK_BYTES;
use crate::map::{self, Mapping, Protection};

/// The limit in bytes of a heap that is made without one: of addresses, not of memory.
const DEFAULT_LIMIT: usize = 64 << 30;

/// What a heap is to be like.
///
/// ```
/// use freestone::heaps::Options;
/// # fn main() -> Result<(), freestone::heaps::Error> {
/// let heap = Options::new().limit(16 << 20).private()?;
/// assert_eq!(heap.stats()?.limit, 16 << 20);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "no heap is made before `private`, `shared` or `file`"]
pub struct Options {
    limit: Option<usize>,
}

impl Options {
    /// A limit of 64 GiB. Private and shared heaps get less if so many addresses can't be had.
    pub const fn new() -> Self {
        Self { limit: None }
    }

    /// Blocks and the heap's own records take at most `bytes` together.
    ///
    /// The limit is rounded down to a multiple of 64 KiB, and is at least 1 MiB. It takes
    /// addresses, not memory. Where it is reached, allocation fails.
    pub const fn limit(self, bytes: usize) -> Self {
        Self { limit: Some(bytes) }
    }

    /// A heap in this process's memory for one thread at a time.
    ///
    /// In a child of a fork it is the child's own copy, which is whole if the thread that forked
    /// was the one that used it.
    ///
    /// # Errors
    /// [`Error::Map`] with `ENOMEM` if there are no addresses for the limit.
    pub fn private(&self) -> Result<Heap<Private>, Error> {
        let (mapping, geometry) = self.reserve(|bytes| {
            Mapping::anonymous(bytes).protection(Protection::NONE).no_reserve().align(CHUNK_BYTES).map()
        })?;
        let kind = Private::new(mapping.address().get());
        if !kind.commit(mapping.as_mut_ptr().expose_provenance(), geometry.front()) {
            return Err(std::io::Error::from_raw_os_error(libc::ENOMEM).into());
        }
        Ok(Heap::over(mapping, geometry, kind))
    }

    /// A heap in memory that children of this process inherit and share with it.
    ///
    /// Dropping it in one process takes it from that process only.
    ///
    /// # Errors
    /// As [`private`](Self::private); [`Error::Locked`] if the lock could not be made.
    pub fn shared(&self) -> Result<Heap<Shared>, Error> {
        let (mapping, geometry) =
            self.reserve(|bytes| Mapping::anonymous(bytes).shared().no_reserve().align(CHUNK_BYTES).map())?;
        let heap = Heap::over(mapping, geometry, Shared::new());
        // SAFETY: nobody uses it yet.
        unsafe { heap.engine.mutex.init() }.map_err(|_| Error::Locked)?;
        Ok(heap)
    }

    /// The heap in the file at `path`.
    ///
    /// If there is no file, or an empty one, it is made, with the limit given here. A heap that is
    /// there keeps its limit.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::Foreign`], [`Error::Version`], [`Error::Truncated`],
    /// [`Error::Damaged`], [`Error::AddressTaken`], or what the kernel says. The heap in the file
    /// is then as before.
    pub fn file(&self, path: impl AsRef<Path>) -> Result<Heap<File>, Error> {
        file::open(path.as_ref(), self.limit_or_default())
    }

    fn limit_or_default(&self) -> usize {
        self.limit.unwrap_or(DEFAULT_LIMIT)
    }

    /// Addresses for the limit; for half of it and less where the caller gave none.
    fn reserve(
        &self,
        map: impl Fn(usize) -> Result<Mapping, map::Error>,
    ) -> Result<(Mapping, Geometry), Error> {
        let mut geometry = Geometry::of(self.limit_or_default());
        loop {
            match map(geometry.whole()) {
                Ok(mapping) => return Ok((mapping, geometry)),
                Err(error) if self.limit.is_some() || geometry.limit == geometry::LEAST_LIMIT => {
                    return Err(error.into());
                }
                Err(_) => geometry = Geometry::of(geometry.limit / 2),
            }
        }
    }
}
