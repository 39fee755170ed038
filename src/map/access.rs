//! Access to the bytes: by copying, which is safe anywhere; by reference where nobody else can
//! change them; by the caller's promise where someone can.

use core::slice;
use core::sync::atomic::AtomicU64;

use super::error::{Call, Error, Refusal};
use super::{Mapping, Protection, Sharing};
use crate::os;

/// Bytes of one of the words that processes share.
const WORD_BYTES: usize = size_of::<AtomicU64>();

impl Mapping {
    /// Copies bytes from the offset `at` on into `into` (process_vm_readv(2)), and answers how
    /// many. It copies fewer at the mapping's end, or where the next page can't be had; none at the
    /// very end. **No signal is raised**, however short the file has become.
    ///
    /// Bytes that another process is writing may be copied half old and half new.
    ///
    /// # Errors
    /// [`Refusal::OutOfBounds`] for an `at` beyond the end; [`Refusal::Protected`] if reading is
    /// forbidden; `EFAULT` if the byte at `at` is in a page beyond the end of the file.
    pub fn read_at(&self, at: usize, into: &mut [u8]) -> Result<usize, Error> {
        self.require(Protection::READ)?;
        let bytes = self.reach(at, into.len())?;
        match into.get_mut(..bytes) {
            None | Some([]) => Ok(0),
            Some(into) => os::calls::read_memory(self.body.at(self.extent.before().saturating_add(at)), into)
                .map_err(Error::of(Call::ReadAt)),
        }
    }

    /// Copies `from` to the bytes from the offset `at` on (process_vm_writev(2)), and answers how
    /// many; otherwise as [`read_at`](Self::read_at).
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at); [`Refusal::Protected`] if writing is forbidden.
    pub fn write_at(&mut self, at: usize, from: &[u8]) -> Result<usize, Error> {
        self.require(Protection::WRITE)?;
        let bytes = self.reach(at, from.len())?;
        match from.get(..bytes) {
            None | Some([]) => Ok(0),
            Some(from) => {
                let to = self.body.at(self.extent.before().saturating_add(at));
                // SAFETY: `reach` keeps the range inside the mapping, which is borrowed mutably,
                // so no reference into it is alive.
                unsafe { os::calls::write_memory(to, from) }.map_err(Error::of(Call::WriteAt))
            }
        }
    }

    /// The bytes of private anonymous memory: nobody else can reach them.
    ///
    /// # Errors
    /// [`Refusal::MayChange`] for files and shared memory; [`Refusal::Protected`] if reading
    /// is forbidden.
    pub fn as_slice(&self) -> Result<&[u8], Error> {
        self.require_own()?;
        // SAFETY: private anonymous memory changes by this process's writes alone, which take
        // a mutable borrow or are the writer's own responsibility.
        unsafe { self.assume_stable() }
    }

    /// The bytes of private anonymous memory, for writing.
    ///
    /// # Errors
    /// As [`as_slice`](Self::as_slice); [`Refusal::Protected`] if reading or writing is forbidden.
    pub fn as_mut_slice(&mut self) -> Result<&mut [u8], Error> {
        self.require_own()?;
        // SAFETY: as in `as_slice`.
        unsafe { self.assume_exclusive() }
    }

    /// Shared anonymous memory as words that this process and its children change at the same
    /// time. Bytes of an incomplete last word are left out.
    ///
    /// # Errors
    /// [`Refusal::NotSharedMemory`] for private memory, and for files, which could be cut short;
    /// [`Refusal::Protected`] unless it may be read and written.
    pub fn as_atomics(&self) -> Result<&[AtomicU64], Error> {
        if self.sharing != Sharing::Shared || self.file_offset.is_some() {
            return Err(Refusal::NotSharedMemory.into());
        }
        self.require(Protection::READ_WRITE)?;
        let words = self.len() / WORD_BYTES;
        // SAFETY: the words lie inside the mapping, which starts on a page without a file to offset
        // it; the memory is as long as it was made, and no plain reference to it is safe to make.
        Ok(unsafe { slice::from_raw_parts(self.as_ptr().cast(), words) })
    }

    /// The bytes of any mapping.
    ///
    /// # Safety
    /// While the reference lives, nobody changes the bytes: no process writes to the file or to a
    /// shared mapping of it (a private mapping shows such writes too, in pages not yet copied:
    /// mmap(2)), and nobody makes the file shorter than the mapping, which turns reading into
    /// `SIGBUS`. A program can promise that only of files that it alone knows.
    ///
    /// # Errors
    /// [`Refusal::Protected`] if reading is forbidden.
    pub unsafe fn assume_stable(&self) -> Result<&[u8], Error> {
        self.require(Protection::READ)?;
        // SAFETY: the range is mapped and readable; that it is there and stays is the caller's
        // word.
        Ok(unsafe { slice::from_raw_parts(self.as_ptr(), self.len()) })
    }

    /// The bytes of any mapping, for writing.
    ///
    /// # Safety
    /// As [`assume_stable`](Self::assume_stable), and nobody reads them meanwhile either: no other
    /// process, and no other mapping of the same file in this one.
    ///
    /// # Errors
    /// [`Refusal::Protected`] if reading or writing is forbidden.
    pub unsafe fn assume_exclusive(&mut self) -> Result<&mut [u8], Error> {
        self.require(Protection::READ_WRITE)?;
        // SAFETY: the range is mapped, readable and writable; the rest is the caller's word.
        Ok(unsafe { slice::from_raw_parts_mut(self.as_mut_ptr(), self.len()) })
    }

    /// Bytes from `at` to the end, at most `wanted`.
    fn reach(&self, at: usize, wanted: usize) -> Result<usize, Error> {
        let left = self.len().checked_sub(at).ok_or(Refusal::OutOfBounds)?;
        Ok(left.min(wanted))
    }

    pub(super) fn require(&self, wanted: Protection) -> Result<(), Error> {
        if self.protection.allows(wanted) { Ok(()) } else { Err(Refusal::Protected.into()) }
    }

    fn require_own(&self) -> Result<(), Error> {
        match (self.sharing, self.file_offset) {
            (Sharing::Private, None) => Ok(()),
            _ => Err(Refusal::MayChange.into()),
        }
    }
}
