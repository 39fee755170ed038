//! The same by heap: whose memory it is.

/// Who uses a heap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum HeapUser {
    /// The thread with this number (gettid(2)).
    Thread(u32),
    /// Nobody: its thread has ended, and it waits for the next.
    #[default]
    Nobody,
    /// All: the slabs of threads that have ended, and the blocks of threads that have no heap.
    Shared,
}

/// The books of one heap. Bytes are rounded as allocated.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ThreadStats {
    /// Where the heap's record is: its name for as long as the process lives.
    pub address: usize,
    /// Who uses it.
    pub user: HeapUser,
    /// Bytes of blocks in its slabs that callers hold, whichever thread has allocated or will free
    /// them, and of those that other threads have freed and hold back: each of them at most 64
    /// blocks or 8 KiB of a slab.
    pub allocated: usize,
    /// How many blocks those are.
    pub blocks: usize,
    /// Address space of its slabs.
    pub slabs: usize,
    /// Allocations that found no block at hand, since the heap was made.
    pub refills: u64,
    /// Blocks that other threads have freed, since the heap was made, as far as adopted.
    pub remote_frees: u64,
}
