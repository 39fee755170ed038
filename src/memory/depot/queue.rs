//! The purge queue: chunks with something to purge or unmap, first in, first out.
//!
//! A chunk is in the queue at most once, which its `planned` says. It is due one purge delay after
//! it entered. The queue is linked through `next_due`; [`NEXT_DUE_MS`] follows its first chunk.

use core::ptr;

use super::pins::may_unmap;
use super::{Depot, NEXT_DUE_MS};
use crate::base::atomic::Ordering;
use crate::memory::chunk::ChunkRef;
use crate::policy::options;

impl Depot {
    /// Puts `chunk` last, due after one delay, if it has something to purge or can be unmapped.
    pub(super) fn plan(&mut self, chunk: ChunkRef, now_ms: u64) {
        if chunk.planned.get() || !(chunk.is_dirty() || (chunk.is_unused() && may_unmap(chunk))) {
            return;
        }
        chunk.planned.set(true);
        self.planned = self.planned.wrapping_add(1);
        chunk.due_ms.set(now_ms.saturating_add(options::get().purge_delay_ms));
        chunk.next_due.set(ptr::null());
        // SAFETY: queued chunks are mapped.
        match unsafe { self.due_last.as_ref() } {
            Some(last) => last.next_due.set(chunk),
            None => {
                self.due_first = chunk;
                NEXT_DUE_MS.store(chunk.due_ms.get(), Ordering::Relaxed);
            }
        }
        self.due_last = chunk;
    }

    /// Puts a chunk that was [popped](Self::pop_due) back, first and due as it was: it has more to
    /// purge than was purged.
    pub(super) fn plan_first(&mut self, chunk: ChunkRef) {
        chunk.planned.set(true);
        self.planned = self.planned.wrapping_add(1);
        chunk.next_due.set(self.due_first);
        if self.due_first.is_null() {
            self.due_last = chunk;
        }
        self.due_first = chunk;
        NEXT_DUE_MS.store(chunk.due_ms.get(), Ordering::Relaxed);
    }

    /// Takes the first chunk, if it is due.
    pub(super) fn pop_due(&mut self, now_ms: u64) -> Option<ChunkRef> {
        // SAFETY: queued chunks are mapped.
        let chunk = unsafe { self.due_first.as_ref() }.filter(|chunk| chunk.due_ms.get() <= now_ms)?;
        self.due_first = chunk.next_due.get();
        // SAFETY: queued chunks are mapped.
        match unsafe { self.due_first.as_ref() } {
            Some(next) => NEXT_DUE_MS.store(next.due_ms.get(), Ordering::Relaxed),
            None => {
                self.due_last = ptr::null();
                NEXT_DUE_MS.store(u64::MAX, Ordering::Relaxed);
            }
        }
        chunk.planned.set(false);
        self.planned = self.planned.wrapping_sub(1);
        Some(chunk)
    }
}
