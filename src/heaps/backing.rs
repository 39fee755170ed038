//! Where a kind of heap's memory comes from, how it goes back, and who is alone in it.

use core::cell::Cell;
use core::ptr::{self, NonNull};
use std::fs::File as OsFile;
use std::os::fd::AsFd;

use super::engine::Engine;
use crate::block::hardening;
use crate::os;
use crate::os::mutex::{Locked, SharedMutex};

/// What the engine has to know of a kind of heap. Fresh and discarded memory reads as zero in all.
pub trait Backing {
    /// Whether there is a bit a block out of line, from which everything else can be made again.
    const BOOKED: bool;

    /// Makes `bytes` from `at` on writable. Whether that worked; what was so stays so.
    fn prepare(&self, at: usize, bytes: usize) -> bool;

    /// Gives the pages of a range of its own back. Whether that worked, and they read as zero now.
    fn discard(&self, at: usize, bytes: usize) -> bool;

    /// Takes notice of a sync that its dead holder of the lock had ended but for the last.
    fn resume(&self, _engine: &'static Engine) {}

    /// Runs `job` alone in the heap. None where that cannot be had.
    fn alone<T>(&self, engine: &'static Engine, job: impl FnOnce() -> T) -> Option<T>;
}

fn pointer(at: usize) -> Option<NonNull<u8>> {
    NonNull::new(ptr::with_exposed_provenance_mut(at))
}

/// The kind of heap that one thread at a time uses, in its process's own memory.
#[derive(Debug)]
pub struct Private {
    /// Where the writable part of the range ends: the rest is a reservation.
    writable: Cell<usize>,
}

impl Private {
    pub(super) const fn new(start: usize) -> Self {
        Self { writable: Cell::new(start) }
    }
}

impl Backing for Private {
    /// Nothing is made again from the bits; in the `secure` build they tell a second free for certain.
    const BOOKED: bool = hardening::ON;

    fn prepare(&self, at: usize, bytes: usize) -> bool {
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
        // SAFETY: private anonymous memory that the heap says holds nothing.
        bytes == 0 || pointer(at).is_some_and(|start| unsafe { os::calls::discard(start, bytes) }.is_ok())
    }

    #[inline]
    fn alone<T>(&self, _: &'static Engine, job: impl FnOnce() -> T) -> Option<T> {
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
    const BOOKED: bool = true;

    fn prepare(&self, _: usize, _: usize) -> bool {
        true
    }

    fn discard(&self, at: usize, bytes: usize) -> bool {
        remove(at, bytes)
    }

    fn alone<T>(&self, engine: &'static Engine, job: impl FnOnce() -> T) -> Option<T> {
        locked(self, engine, job)
    }
}

/// The kind of heap that lives in a file and outlives its process.
#[derive(Debug)]
pub struct File {
    /// Open, and locked against other openings, for as long as the heap.
    pub(super) file: OsFile,
    /// Where the file's first byte is mapped.
    pub(super) start: usize,
}

impl Backing for File {
    const BOOKED: bool = true;

    fn prepare(&self, at: usize, bytes: usize) -> bool {
        let offset = at.wrapping_sub(self.start) as u64;
        os::file::make_room(self.file.as_fd(), offset, bytes as u64).is_ok()
    }

    fn discard(&self, at: usize, bytes: usize) -> bool {
        remove(at, bytes)
    }

    fn resume(&self, engine: &'static Engine) {
        engine.resume_sync();
    }

    fn alone<T>(&self, engine: &'static Engine, job: impl FnOnce() -> T) -> Option<T> {
        locked(self, engine, job)
    }
}

/// For shared memory and files: advice that takes the bytes out of the object behind, which reads
/// as zero there for everyone.
fn remove(at: usize, bytes: usize) -> bool {
    // SAFETY: memory that the heap says holds nothing.
    pointer(at).is_some_and(|start| unsafe { os::calls::advise(start, bytes, libc::MADV_REMOVE) }.is_ok())
}

/// Releases the lock, whatever happens to the job.
struct Unlock<'a>(&'a SharedMutex);

impl Drop for Unlock<'_> {
    fn drop(&mut self) {
        // SAFETY: made by the holder of the lock.
        unsafe { self.0.unlock() }
    }
}

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
