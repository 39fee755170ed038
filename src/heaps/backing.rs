//! The three kinds of heaps: where the memory comes from, how it goes back, and who is alone in it.

use core::cell::Cell;
use core::ptr::{self, NonNull};
use std::fs::File as OsFile;
use std::os::fd::AsFd;

use super::engine::Engine;
use crate::block::hardening;
use crate::os;
use crate::os::mutex::{Locked, SharedMutex};

/// The kinds of heaps: [`Private`], [`Shared`] and [`File`].
///
/// This trait is sealed: no type outside this crate implements it.
pub trait Kind: Backing {}
impl Kind for Private {}
impl Kind for Shared {}
impl Kind for File {}

/// The engine's view of a kind of heap. Fresh and discarded memory reads as zero in all kinds.
///
/// The module is private: that seals [`Kind`].
pub trait Backing {
    /// Whether chunks have [bitmaps](super::bitmap), from which everything else can be rebuilt.
    const HAS_BITMAPS: bool;

    /// Makes `bytes` from the address `at` on writable, where they are not. Whether that worked.
    fn commit(&self, at: usize, bytes: usize) -> bool;

    /// Gives the pages of a range of the heap's back. Whether that worked, and they read as zero
    /// now.
    fn discard(&self, at: usize, bytes: usize) -> bool;

    /// Ends a sync that a holder of the lock died in, if only its superblock's msync(2) was
    /// missing.
    fn resume_sync(&self, _engine: &'static Engine) {}

    /// Runs `job` alone in the heap. None where the lock can't be had.
    fn exclusive<T>(&self, engine: &'static Engine, job: impl FnOnce() -> T) -> Option<T>;
}

fn pointer(at: usize) -> Option<NonNull<u8>> {
    NonNull::new(ptr::with_exposed_provenance_mut(at))
}

/// The kind of heap that one thread at a time uses, in its process's own memory.
#[derive(Debug)]
#[non_exhaustive]
pub struct Private {
    /// Address of the end of the range's writable part: the rest is a reservation.
    writable: Cell<usize>,
}

impl Private {
    pub(super) const fn new(start: usize) -> Self {
        Self { writable: Cell::new(start) }
    }
}

impl Backing for Private {
    /// Nothing is rebuilt from a private heap's bitmaps. The `secure` build has them to find a
    /// second free for certain.
    const HAS_BITMAPS: bool = hardening::ON;

    fn commit(&self, at: usize, bytes: usize) -> bool {
        let (from, end) = (self.writable.get(), at.wrapping_add(bytes));
        if end <= from {
            return true;
        }
        let Some(start) = pointer(from) else { return false };
        // SAFETY: the range is the heap's reservation, which nothing refers to yet.
        let done =
            unsafe { os::calls::protect(start, end.wrapping_sub(from), libc::PROT_READ | libc::PROT_WRITE) };
        if done.is_ok() {
            self.writable.set(end);
        }
        done.is_ok()
    }

    fn discard(&self, at: usize, bytes: usize) -> bool {
        // Beyond the writable part nothing was ever touched.
        let bytes = bytes.min(self.writable.get().saturating_sub(at));
        // SAFETY: private anonymous memory without a block, as the engine says.
        bytes == 0 || pointer(at).is_some_and(|start| unsafe { os::calls::discard(start, bytes) }.is_ok())
    }

    #[inline]
    fn exclusive<T>(&self, _: &'static Engine, job: impl FnOnce() -> T) -> Option<T> {
        // The heap is not `Sync`: its holder is alone.
        Some(job())
    }
}

/// The kind of heap that a process and its children use at once, in shared memory.
#[derive(Debug)]
pub struct Shared(());

impl Shared {
    pub(super) const fn new() -> Self {
        Self(())
    }
}

impl Backing for Shared {
    const HAS_BITMAPS: bool = true;

    fn commit(&self, _: usize, _: usize) -> bool {
        true
    }

    fn discard(&self, at: usize, bytes: usize) -> bool {
        remove(at, bytes)
    }

    fn exclusive<T>(&self, engine: &'static Engine, job: impl FnOnce() -> T) -> Option<T> {
        locked(self, engine, job)
    }
}

/// The kind of heap that lives in a file and outlives its process.
#[derive(Debug)]
#[non_exhaustive]
pub struct File {
    /// Open, and locked against other openings, for as long as the heap.
    pub(super) file: OsFile,
    /// Address of the file's first byte.
    pub(super) start: usize,
}

impl Backing for File {
    const HAS_BITMAPS: bool = true;

    fn commit(&self, at: usize, bytes: usize) -> bool {
        let offset = at.wrapping_sub(self.start) as u64;
        os::file::make_room(self.file.as_fd(), offset, bytes as u64).is_ok()
    }

    fn discard(&self, at: usize, bytes: usize) -> bool {
        remove(at, bytes)
    }

    fn resume_sync(&self, engine: &'static Engine) {
        engine.resume_sync();
    }

    fn exclusive<T>(&self, engine: &'static Engine, job: impl FnOnce() -> T) -> Option<T> {
        locked(self, engine, job)
    }
}

/// Frees what stores a range of shared memory or of a file (`MADV_REMOVE`, madvise(2)). It reads as
/// zero for everyone.
fn remove(at: usize, bytes: usize) -> bool {
    // SAFETY: memory without a block, as the engine says.
    pointer(at).is_some_and(|start| unsafe { os::calls::advise(start, bytes, libc::MADV_REMOVE) }.is_ok())
}

/// Releases the lock when dropped.
struct Unlock<'a>(&'a SharedMutex);

impl Drop for Unlock<'_> {
    fn drop(&mut self) {
        // SAFETY: made by the holder of the lock.
        unsafe { self.0.unlock() }
    }
}

/// Runs `job` under the heap's lock, after a recovery where the last holder has died.
fn locked<B: Backing, T>(backing: &B, engine: &'static Engine, job: impl FnOnce() -> T) -> Option<T> {
    let how = engine.mutex.lock().ok()?;
    let _unlock = Unlock(&engine.mutex);
    if how == Locked::Inherited {
        engine.recover(backing);
        // SAFETY: the lock was just taken.
        unsafe { engine.mutex.mend() };
    }
    Some(job())
}
