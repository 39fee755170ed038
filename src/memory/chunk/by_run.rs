//! Chunks with free units, by the length of their longest run of them.

use core::cell::Cell;
use core::ptr;

use crate::base::config::UNITS;
use crate::memory::chunk::Chunk;

/// A list for each length of run, and which of them are not empty. Chunks without free units are
/// on none. Whoever owns the chunks touches it, one thread at a time.
pub(crate) struct ByRun {
    /// First chunk of each list; the order is last in, first out.
    first: [Cell<*const Chunk>; UNITS],
    filled: Cell<u64>,
}

// SAFETY: the chunks that the pointers lead to are touched by the owner of this only.
unsafe impl Send for ByRun {}

impl ByRun {
    pub(crate) const fn new() -> Self {
        Self { first: [const { Cell::new(ptr::null()) }; UNITS], filled: Cell::new(0) }
    }

    /// Empties the lists without a look at their chunks: for lists that are made again.
    pub(crate) fn forget(&self) {
        self.first.iter().for_each(|first| first.set(ptr::null()));
        self.filled.set(0);
    }

    /// Puts a chunk on its list.
    pub(crate) fn list(&self, chunk: &'static Chunk) {
        let longest = chunk.longest();
        let Some(first) = self.first.get(longest).filter(|_| longest != 0) else { return };
        chunk.previous.set(ptr::null());
        chunk.next.set(first.get());
        // SAFETY: listed chunks are mapped.
        if let Some(next) = unsafe { first.get().as_ref() } {
            next.previous.set(chunk);
        }
        first.set(chunk);
        self.filled.set(self.filled.get() | 1 << longest);
    }

    /// Takes a listed chunk off its list.
    pub(crate) fn unlist(&self, chunk: &'static Chunk) {
        let longest = chunk.longest();
        let Some(first) = self.first.get(longest).filter(|_| longest != 0) else { return };
        // SAFETY: listed chunks are mapped.
        match unsafe { chunk.previous.get().as_ref() } {
            Some(previous) => previous.next.set(chunk.next.get()),
            None => first.set(chunk.next.get()),
        }
        // SAFETY: listed chunks are mapped.
        if let Some(next) = unsafe { chunk.next.get().as_ref() } {
            next.previous.set(chunk.previous.get());
        }
        if first.get().is_null() {
            self.filled.set(self.filled.get() & !(1 << longest));
        }
    }

    /// Changes a listed chunk's free units and keeps it on the right list.
    pub(crate) fn change<T>(&self, chunk: &'static Chunk, change: impl FnOnce(&'static Chunk) -> T) -> T {
        self.unlist(chunk);
        let changed = change(chunk);
        self.list(chunk);
        changed
    }

    /// A chunk whose longest run is the shortest that holds `units`.
    pub(crate) fn best(&self, units: usize) -> Option<&'static Chunk> {
        let fitting = self.filled.get() & (u64::MAX << units);
        let first = self.first.get(fitting.trailing_zeros() as usize)?;
        // SAFETY: listed chunks are mapped.
        unsafe { first.get().as_ref() }
    }
}
