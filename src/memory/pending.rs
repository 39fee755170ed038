//! Pending unmaps: ranges that the kernel refused to unmap, kept and tried again.
//!
//! munmap(2) fails with `ENOMEM` where it would split a mapping at the map-count limit. The range
//! is then as before. Its pages are given back, and it is linked through its own first words.
//! A range that nobody may write to, as guarded ranges are once freed, is noted in a table instead.
//! Where the table is full the range is lost, and counted as [`lost_bytes`].
//!
//! State: the list and the table, under one lock, which takes no other; two atomic counters.

use core::ptr::{self, NonNull};

use crate::base::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::os;
use crate::os::lock::Lock;

/// The record of a linked range, in a page of it that can be written to.
struct Node {
    next: *mut Node,
    start: NonNull<u8>,
    bytes: usize,
}

/// Most ranges noted in the table.
const TABLE_RANGES: usize = 1024;

/// The ranges, each kind last in, first out.
struct Pending {
    linked: *mut Node,
    /// The first `count` are ranges, the others are none.
    table: [Option<(NonNull<u8>, usize)>; TABLE_RANGES],
    count: usize,
}

// SAFETY: the ranges belong to nobody else and are touched under the lock only.
unsafe impl Send for Pending {}

static PENDING: Lock<Pending> =
    Lock::new(Pending { linked: ptr::null_mut(), table: [None; TABLE_RANGES], count: 0 });

static BYTES: AtomicUsize = AtomicUsize::new(0);

static LOST_BYTES: AtomicU64 = AtomicU64::new(0);

/// Counts address space as lost: nobody can use or unmap it, or the kernel does not say whether it
/// is still the allocator's.
pub(crate) fn count_lost(bytes: usize) {
    LOST_BYTES.fetch_add(bytes as u64, Ordering::Relaxed);
}

/// Bytes that were [counted as lost](count_lost), since the start.
pub(crate) fn lost_bytes() -> u64 {
    LOST_BYTES.load(Ordering::Relaxed)
}

/// Loses the ranges, if another thread of the parent was changing the list. For a child.
///
/// # Safety
/// As for [`Lock::mend`].
pub(crate) unsafe fn mend() {
    let lose_all = |pending: &mut Pending| {
        (pending.linked, pending.count) = (ptr::null_mut(), 0);
        count_lost(BYTES.swap(0, Ordering::Relaxed));
    };
    // SAFETY: forwarded to the caller.
    unsafe { PENDING.mend(lose_all) }
}

/// Bytes of the pending ranges.
pub(crate) fn bytes() -> usize {
    BYTES.load(Ordering::Relaxed)
}

/// Unmaps the range, now or later.
///
/// # Safety
/// The caller gives up the range, whole OS pages of private, writable memory.
pub(crate) unsafe fn unmap_or_keep(start: NonNull<u8>, bytes: usize) {
    // SAFETY: forwarded to the caller.
    if unsafe { os::unmap(start, bytes) }.is_err() {
        // SAFETY: forwarded to the caller; the contents may be anything after a refusal.
        let _ = unsafe { os::discard(start, bytes) };
        // SAFETY: forwarded to the caller.
        unsafe { keep_linked(start, bytes, start) };
    }
}

/// Keeps a range to be unmapped later, linked through the page that begins at `page`.
///
/// # Safety
/// The caller gives up the range, whole OS pages of private memory, in which that page can be
/// written to.
pub(crate) unsafe fn keep_linked(start: NonNull<u8>, bytes: usize, page: NonNull<u8>) {
    let node: NonNull<Node> = page.cast();
    let mut pending = PENDING.lock();
    // SAFETY: the page is this list's now.
    unsafe { node.write(Node { next: pending.linked, start, bytes }) };
    pending.linked = node.as_ptr();
    BYTES.fetch_add(bytes, Ordering::Relaxed);
}

/// Keeps a range, no page of which can be written to, to be unmapped later. Where the table is
/// full the range is lost.
///
/// # Safety
/// The caller gives up the range, whole OS pages of private memory.
pub(crate) unsafe fn keep_noted_or_lose(start: NonNull<u8>, bytes: usize) {
    // A statement of its own: the lock ends before the range is counted.
    let is_noted = PENDING.lock().note(start, bytes);
    if !is_noted {
        count_lost(bytes);
    }
}

/// A range taken off the list or out of the table.
struct PendingRange {
    start: NonNull<u8>,
    bytes: usize,
    /// The page that it was linked through; none where it was in the table.
    page: Option<NonNull<u8>>,
}

impl PendingRange {
    /// Takes the last one of a kind.
    fn pop(pop: fn(&mut Pending) -> Option<Self>) -> Option<Self> {
        let range = pop(&mut PENDING.lock())?;
        BYTES.fetch_sub(range.bytes, Ordering::Relaxed);
        Some(range)
    }

    /// Keeps it again. The table may have been filled meanwhile by another thread.
    fn keep(self) {
        // SAFETY: a range from the list is nobody else's.
        unsafe {
            match self.page {
                Some(page) => keep_linked(self.start, self.bytes, page),
                None => keep_noted_or_lose(self.start, self.bytes),
            }
        }
    }
}

impl Pending {
    /// Notes a range in the table. False where that is full.
    fn note(&mut self, start: NonNull<u8>, bytes: usize) -> bool {
        let index = self.count;
        let Some(entry) = self.table.get_mut(index) else { return false };
        *entry = Some((start, bytes));
        self.count = index.wrapping_add(1);
        BYTES.fetch_add(bytes, Ordering::Relaxed);
        true
    }

    fn pop_noted(&mut self) -> Option<PendingRange> {
        let last = self.count.checked_sub(1)?;
        let (start, bytes) = self.table.get_mut(last)?.take()?;
        self.count = last;
        Some(PendingRange { start, bytes, page: None })
    }

    fn pop_linked(&mut self) -> Option<PendingRange> {
        let node = NonNull::new(self.linked)?;
        // SAFETY: what is on the list is a range that was kept, with its node.
        let Node { next, start, bytes } = unsafe { node.read() };
        self.linked = next;
        Some(PendingRange { start, bytes, page: Some(node.cast()) })
    }
}

/// Tries to unmap up to `most` ranges of each kind, until one is refused again.
pub(crate) fn retry(most: usize) {
    for pop in [Pending::pop_linked, Pending::pop_noted] {
        for _ in 0..most {
            if bytes() == 0 {
                return;
            }
            let Some(range) = PendingRange::pop(pop) else { break };
            // SAFETY: a range from the list is nobody else's.
            if unsafe { os::unmap(range.start, range.bytes) }.is_err() {
                range.keep();
                break;
            }
        }
    }
}
