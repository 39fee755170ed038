//! What is counted of one group: bytes held, with limits; frees from outside; large allocations.
//!
//! State: atomic words without ordering among them. The bytes that a group's heaps count themselves
//! are not here.

use core::mem;
use core::ptr;

use super::limit::Limit;
use super::options::UNLIMITED;
use super::requested::{Requested, SharedRequests};
use crate::base::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

/// Called when a group has passed its soft limit: its name, and the bytes that it holds.
pub(crate) type OnSoftLimit = fn(&str, usize);

/// The books of one group. They are never unmapped.
pub(crate) struct Books {
    /// Bytes of carved blocks and of large ranges.
    held: Limit,
    /// The most bytes that were held.
    peak: AtomicUsize,
    /// What other heaps than the group's have counted of its blocks, less what its heaps have
    /// counted of others' blocks, and for groups before this one; wraps.
    elsewhere: SharedRequests,
    /// Blocks freed by other heaps than their slab's, and their bytes, as blocks are long; both
    /// wrap.
    sent: Count,
    /// Large allocations, and bytes of their ranges.
    large: Count,
    /// Blocks that the profiler has sampled, which lie in none of the group's slabs.
    sampled: Count,
    /// The most requested bytes that were seen.
    requested_peak: AtomicUsize,
    /// Requests that the hard limit has refused.
    refusals: AtomicU64,
    /// An [`OnSoftLimit`]; null for none.
    on_soft_limit: AtomicPtr<()>,
}

/// The counts that `sent` and `large` are of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlocksAndBytes {
    pub(crate) blocks: usize,
    pub(crate) bytes: usize,
}

impl BlocksAndBytes {
    pub(crate) const NONE: Self = Self { blocks: 0, bytes: 0 };

    /// Adds so many blocks of `block_bytes` each; wraps.
    pub(crate) fn add(&mut self, blocks: usize, block_bytes: usize) {
        self.blocks = self.blocks.wrapping_add(blocks);
        self.bytes = self.bytes.wrapping_add(blocks.wrapping_mul(block_bytes));
    }
}

/// A count of blocks and of their bytes, which any thread changes.
struct Count {
    blocks: AtomicUsize,
    bytes: AtomicUsize,
}

impl Count {
    const fn new() -> Self {
        Self { blocks: AtomicUsize::new(0), bytes: AtomicUsize::new(0) }
    }

    /// Counts a block of so many bytes.
    fn add(&self, bytes: usize) {
        self.blocks.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Ends the count of one.
    fn take(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        // Release: who reads that there is no block more has all that was counted of it.
        self.blocks.fetch_sub(1, Ordering::Release);
    }

    fn set(&self, to: BlocksAndBytes) {
        self.blocks.store(to.blocks, Ordering::Relaxed);
        self.bytes.store(to.bytes, Ordering::Relaxed);
    }

    fn read(&self) -> BlocksAndBytes {
        BlocksAndBytes {
            blocks: self.blocks.load(Ordering::Acquire),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}

impl Books {
    pub(crate) const fn new() -> Self {
        Self {
            held: Limit::new(),
            peak: AtomicUsize::new(0),
            elsewhere: SharedRequests::new(),
            sent: Count::new(),
            large: Count::new(),
            sampled: Count::new(),
            requested_peak: AtomicUsize::new(0),
            refusals: AtomicU64::new(0),
            on_soft_limit: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Begins the books of another group, whose heaps have counted `counted` and adopted `adopted`
    /// before. Nothing is held.
    pub(crate) fn begin(&self, counted: Requested, adopted: BlocksAndBytes) {
        self.held.set(UNLIMITED, UNLIMITED);
        self.held.set_soft(UNLIMITED);
        self.peak.store(0, Ordering::Relaxed);
        self.requested_peak.store(0, Ordering::Relaxed);
        self.elsewhere.set(counted.negated());
        self.sent.set(adopted);
        self.refusals.store(0, Ordering::Relaxed);
        self.on_soft_limit.store(ptr::null_mut(), Ordering::Relaxed);
    }

    // ---- bytes held ----

    /// Counts `bytes` that are about to be carved or mapped. False, and nothing is counted, where
    /// they would pass the hard limit.
    #[must_use]
    pub(crate) fn charge(&self, bytes: usize) -> bool {
        let is_allowed = self.charge_if_allowed(bytes);
        if !is_allowed {
            self.refusals.fetch_add(1, Ordering::Relaxed);
        }
        is_allowed
    }

    /// As [`charge`](Self::charge), where the caller goes another way if they would: that is no
    /// refusal.
    #[must_use]
    pub(crate) fn charge_if_allowed(&self, bytes: usize) -> bool {
        let is_allowed = self.held.reserve(bytes);
        if is_allowed {
            self.note_peak();
        }
        is_allowed
    }

    /// Counts `bytes` that are there already, even past the hard limit.
    pub(crate) fn add(&self, bytes: usize) {
        self.held.add(bytes);
        self.note_peak();
    }

    fn note_peak(&self) {
        let held = self.held.used();
        if held > self.peak.load(Ordering::Relaxed) {
            self.peak.fetch_max(held, Ordering::Relaxed);
        }
    }

    /// Ends the count of `bytes`.
    pub(crate) fn release(&self, bytes: usize) {
        self.held.release(bytes);
    }

    /// Bytes held.
    pub(crate) fn held(&self) -> usize {
        self.held.used()
    }

    /// The most bytes that were held.
    pub(crate) fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    /// Requests that the hard limit has refused.
    pub(crate) fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }

    // ---- limits ----

    /// The hard limit and the soft one.
    pub(crate) fn limits(&self) -> [usize; 2] {
        self.held.limits()
    }

    pub(crate) fn set_hard(&self, bytes: usize) {
        self.held.set_hard(bytes);
    }

    pub(crate) fn set_soft(&self, bytes: usize, callback: Option<OnSoftLimit>) {
        self.held.set_soft(UNLIMITED);
        let callback = callback.map_or(ptr::null_mut(), |callback| callback as *mut ());
        self.on_soft_limit.store(callback, Ordering::Relaxed);
        self.held.set_soft(bytes);
    }

    /// The callback, if the soft limit has been passed since this was last asked.
    pub(crate) fn take_due(&self) -> Option<OnSoftLimit> {
        if !self.held.take_due() {
            return None;
        }
        let callback = self.on_soft_limit.load(Ordering::Relaxed);
        // SAFETY: only `set_soft` writes there, and it writes such a function or null.
        unsafe { mem::transmute::<*mut (), Option<OnSoftLimit>>(callback) }
    }

    // ---- what is counted elsewhere ----

    /// Counts `more` of the group's blocks, which none of its heaps has counted.
    pub(crate) fn count_elsewhere(&self, more: Requested) {
        self.elsewhere.add(more);
    }

    /// See [`count_elsewhere`](Self::count_elsewhere).
    pub(crate) fn elsewhere(&self) -> Requested {
        self.elsewhere.read()
    }

    /// Notes that the group's live blocks have `bytes`, as they were requested.
    pub(crate) fn note_requested(&self, bytes: usize) {
        if bytes > self.requested_peak() {
            self.requested_peak.fetch_max(bytes, Ordering::Relaxed);
        }
    }

    /// The most bytes that were noted.
    pub(crate) fn requested_peak(&self) -> usize {
        self.requested_peak.load(Ordering::Relaxed)
    }

    /// Counts a block of so many bytes that another heap than its slab's has freed.
    pub(crate) fn count_sent(&self, bytes: usize) {
        self.sent.add(bytes);
    }

    /// See [`count_sent`](Self::count_sent).
    pub(crate) fn sent(&self) -> BlocksAndBytes {
        self.sent.read()
    }

    /// Counts a large allocation whose range has `bytes`.
    pub(crate) fn count_large(&self, bytes: usize) {
        self.large.add(bytes);
    }

    /// Ends the count of a large allocation.
    pub(crate) fn uncount_large(&self, bytes: usize) {
        self.large.take(bytes);
    }

    /// Counts a sampled block of so many bytes.
    #[cfg(feature = "profile")]
    pub(crate) fn count_sampled(&self, bytes: usize) {
        self.sampled.add(bytes);
    }

    /// Ends the count of one.
    #[cfg(feature = "profile")]
    pub(crate) fn uncount_sampled(&self, bytes: usize) {
        self.sampled.take(bytes);
    }

    /// Sampled blocks.
    pub(crate) fn sampled(&self) -> BlocksAndBytes {
        self.sampled.read()
    }

    /// Large allocations.
    pub(crate) fn large(&self) -> BlocksAndBytes {
        self.large.read()
    }
}
