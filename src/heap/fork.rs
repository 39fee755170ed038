//! Every lock of the library, in the order in which a forked child mends them.
//!
//! The child has one thread, the copy of the one that called fork(2), and may be the copy of a
//! process whose other threads were in the middle of anything. The first use of a lock in a child
//! calls [`mend`], see `os/lock.rs`. Where another thread held a lock, its room brings into order
//! the state that the lock guards.
//!
//! Heaps of other threads stay as they were. Frees into their slabs are announced to inboxes that
//! nobody opens, so their blocks are never reused.

use crate::heap::{groups, help, shared, thread};
use crate::memory::slab::absent;
use crate::memory::{depot, large, pending, records};
use crate::policy::options;

/// What mends the locks of each room. A room uses only rooms before it: nothing here takes a lock
/// that is not mended yet.
///
/// # Safety of each
/// As for `Lock::mend`, with the rooms before it in order.
const LOCKS: &[unsafe fn()] = &[
    // Memory of the library's own records.
    records::mend,
    // Pages that the kernel refused to unmap.
    pending::mend,
    // Chunks and free slabs.
    depot::mend,
    // Large ranges: their registry, those retained for reuse.
    large::mend,
    // The shared heap and its emptied slabs: another thread's use ends it, and a new one takes its
    // place.
    shared::mend,
    // The list of idle heaps.
    thread::mend_idle,
    // The lists of groups that wait.
    groups::mend,
    // The helper's lock, and the lists of the calling thread's heaps and of idle ones.
    help::mend,
    // The freezing of options.
    options::mend,
    // The profiler's records.
    #[cfg(feature = "profile")]
    super::sampling::mend,
];

/// Mends every lock. For a child, before any of its threads has taken one.
pub(super) extern "C-unwind" fn mend() {
    absent::note_copy();
    for mend in LOCKS {
        // SAFETY: `os::lock` calls this before any thread of this process has taken a lock; the
        // order is the table's.
        unsafe { mend() }
    }
    #[cfg(feature = "background-purge")]
    super::background::forget();
    thread::mend_own();
}
