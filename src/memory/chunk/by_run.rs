//! Lists of chunks with free units, by the length of their longest run of them.

use core::cell::Cell;
use core::ptr;

use crate::base::config::UNITS;
use crate::memory::chunk::{Chunk, ChunkRef};

/// A list for each length of run, and which of them are not empty. Chunks without free units are
/// on none. The lists are linked through the chunks' `next` and `previous`. Whoever owns the chunks
/// touches them: the holder of the depot's lock, or of a first-class heap.
pub(crate) struct ByRun {
    /// The first chunk of each list. Last in, first out.
    first: [Cell<*const Chunk>; UNITS],
    /// The lists that are not empty, a bit each.
    filled: Cell<u64>,
}

// SAFETY: the chunks that the pointers lead to are touched by the owner of this only.
unsafe impl Send for ByRun {}

impl ByRun {
    pub(crate) const fn new() -> Self {
        Self { first: [const { Cell::new(ptr::null()) }; UNITS], filled: Cell::new(0) }
    }

    /// Empties the lists without touching their chunks: they are about to be listed again.
    pub(crate) fn forget(&self) {
        self.first.iter().for_each(|first| first.set(ptr::null()));
        self.filled.set(0);
    }

    /// Puts a chunk on its list.
    pub(crate) fn list(&self, chunk: ChunkRef) {
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
    pub(crate) fn unlist(&self, chunk: ChunkRef) {
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
    pub(crate) fn change<T>(&self, chunk: ChunkRef, change: impl FnOnce(ChunkRef) -> T) -> T {
        self.unlist(chunk);
        let changed = change(chunk);
        self.list(chunk);
        changed
    }

    /// A chunk whose longest run is the shortest that holds `units`.
    pub(crate) fn best(&self, units: usize) -> Option<ChunkRef> {
        let fitting = self.filled.get() & (u64::MAX << units);
        let first = self.first.get(fitting.trailing_zeros() as usize)?;
        // SAFETY: listed chunks are mapped.
        unsafe { first.get().as_ref() }
    }
}
