//! Longer and shorter mappings: mremap(2) moves page tables, not bytes.

use std::os::fd::AsFd;

use super::builder::end_of;
use super::error::{Call, Error, Refusal};
use super::file;
use super::{Mapping, Sharing};

/// Whether resizing may change the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Placement {
    /// The mapping stays where it is, or the call fails.
    InPlace,
    /// The mapping moves if there is no room (`MREMAP_MAYMOVE`). An alignment above the page
    /// is then lost.
    MayMove,
}

impl Mapping {
    /// Makes the mapping `len` bytes long. New bytes of anonymous memory are zero; those of a
    /// file are the file's, and **beyond its end touching them raises `SIGBUS`**:
    /// [`resize_with_file`](Self::resize_with_file) extends it. Bytes cut off are gone.
    ///
    /// # Errors
    /// [`Refusal::Guarded`] with guard pages; [`Refusal::FixedObject`] for growing shared anonymous
    /// memory, since the memory behind it does not grow; `ENOMEM` when there is no room; `EFAULT`
    /// when the mapping is several to the kernel, since a part has advice or a lock of its own;
    /// `EAGAIN` when more would be locked than `RLIMIT_MEMLOCK`. The mapping is then as before.
    pub fn resize(&mut self, len: usize, placement: Placement) -> Result<(), Error> {
        if self.guard_bytes() != (0, 0) {
            return Err(Refusal::Guarded.into());
        }
        let extent = self.extent.with_len(len)?;
        let grows = extent.mapped() > self.extent.mapped();
        if grows && self.sharing == Sharing::Shared && self.file_offset.is_none() {
            return Err(Refusal::FixedObject.into());
        }
        // SAFETY: the mapping is borrowed mutably: no reference into it is alive, so it may
        // move and be cut.
        let answer = unsafe {
            match placement {
                Placement::InPlace => self.body.resize_in_place(extent.mapped()),
                Placement::MayMove => self.body.resize(extent.mapped()),
            }
        };
        answer.map_err(Error::of(Call::Mremap))?;
        self.extent = extent;
        Ok(())
    }

    /// As [`resize`](Self::resize), and makes `file`, the one that is mapped, longer first if the
    /// mapping would reach beyond its end; it never makes it shorter. The words about
    /// [`extend_file`](super::Builder::extend_file) hold here too.
    ///
    /// # Errors
    /// As [`resize`](Self::resize), and those of ftruncate(2). A file that was extended stays so:
    /// what another process has written there meanwhile must not be cut off.
    pub fn resize_with_file(
        &mut self,
        file: &impl AsFd,
        len: usize,
        placement: Placement,
    ) -> Result<(), Error> {
        let offset = self.file_offset.ok_or(Refusal::NotAFile)?;
        file::extend(file.as_fd(), end_of(offset, len)?)?;
        self.resize(len, placement)
    }
}
