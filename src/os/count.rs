//! How often the global allocator called the kernel for memory, and how often the kernel refused.
//!
//! State: two counters a call, written by any thread, for `Stats::calls`.

use super::Result;
use crate::base::atomic::{AtomicU64, Ordering};

/// The counters of one system call.
pub(crate) struct Calls {
    made: AtomicU64,
    refused: AtomicU64,
}

pub(crate) static MMAP: Calls = Calls::new();
pub(crate) static MUNMAP: Calls = Calls::new();
pub(crate) static MREMAP: Calls = Calls::new();
pub(crate) static MADVISE: Calls = Calls::new();

impl Calls {
    const fn new() -> Self {
        Self { made: AtomicU64::new(0), refused: AtomicU64::new(0) }
    }

    /// Counts a call whose answer is `answer`, and gives it back.
    pub(super) fn note<T>(&self, answer: Result<T>) -> Result<T> {
        self.made.fetch_add(1, Ordering::Relaxed);
        if answer.is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }

    /// Calls since the start, refused ones included.
    pub(crate) fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// Calls that the kernel answered with an error.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}
