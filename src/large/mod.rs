//! Large allocations: each is a range of its own, without a header.
//!
//! The registry knows each one's length, and says whether an address is a large allocation at
//! all. A freed range may wait for reuse, see [`retained`].

use core::ptr::NonNull;

use crate::address::align_up;
use crate::fatal;
use crate::hardening;
use crate::limit::COMMITTED;
use crate::poison;
use crate::stray;
use crate::sync::Lock;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sys;

mod guard;
mod range;
mod registry;
mod retained;

use range::Range;
use registry::Registry;
use retained::Retained;

static REGISTRY: Lock<Registry> = Lock::new(Registry::new());
static RETAINED: Lock<Retained> = Lock::new(Retained::new());

/// Bytes copied because the kernel would not move them.
static COPIED_BYTES: AtomicU64 = AtomicU64::new(0);

/// Bytes that large `realloc`s copied, all told, because the kernel refused to move pages.
pub(crate) fn copied_bytes() -> u64 {
    COPIED_BYTES.load(Ordering::Relaxed)
}

/// What there is of large allocations.
pub(crate) struct Survey {
    /// How many are live.
    pub(crate) live: usize,
    pub(crate) live_bytes: usize,
    pub(crate) retained_bytes: usize,
    /// Bytes mapped for the registry.
    pub(crate) table_bytes: usize,
}

/// Counts large allocations and retained ranges.
pub(crate) fn survey() -> Survey {
    let retained_bytes = RETAINED.lock().bytes();
    let registry = REGISTRY.lock();
    Survey {
        live: registry.len(),
        live_bytes: registry.live_bytes(),
        retained_bytes,
        table_bytes: registry.mapped_bytes(),
    }
}

/// Ranges listed under one lock.
const LISTED: usize = 32;

/// Calls `each` with address and length of every live large allocation, then of every retained
/// range; no lock is held meanwhile. A range that changes during the walk may be told twice or not at all.
pub(crate) fn list(mut each: impl FnMut(usize, usize, Life)) {
    let mut ranges = [(0, 0); LISTED];
    let mut next = Some(0);
    while let Some(at) = next {
        let (written, rest) = REGISTRY.lock().list(at, &mut ranges);
        ranges.iter().take(written).for_each(|(address, bytes)| each(*address, *bytes, Life::Live));
        next = rest;
    }
    let mut count = 0_usize;
    let mut ranges = [(0, 0); crate::config::RETAINED_RANGES];
    {
        let retained = RETAINED.lock();
        for (place, range) in ranges.iter_mut().zip(retained.ranges()) {
            *place = (range.start.addr().get(), range.bytes);
            count = count.wrapping_add(1);
        }
    }
    ranges.iter().take(count).for_each(|(address, bytes)| each(*address, *bytes, Life::Retained));
}

/// Whether a range is somebody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// A live allocation.
    Live,
    /// Freed, and kept for reuse.
    Retained,
}

/// What new memory must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contents {
    Any,
    Zero,
}

/// Brings into order what other threads of the parent were changing. For a child.
///
/// # Safety
/// As for [`Lock::mend`].
pub(crate) unsafe fn mend() {
    // SAFETY: forwarded to the caller.
    unsafe {
        REGISTRY.mend(Registry::mend);
        RETAINED.mend(Retained::mend);
    }
}

/// A large allocation of `size` bytes, not more than `isize::MAX`.
pub(crate) fn allocate(size: usize, align: usize, contents: Contents) -> Option<NonNull<u8>> {
    let bytes = align_up(size.max(1), sys::page_bytes());
    let range = match reuse(bytes, align, contents) {
        Some(range) => range,
        None => Range::map(bytes, align)?,
    };
    // A statement of its own: the lock must end before the range is dealt with.
    let noted = REGISTRY.lock().insert(range);
    if !noted {
        retain_or_unmap(range);
        return None;
    }
    Some(range.start)
}

/// Frees the large allocation at `start`.
pub(crate) fn free(start: NonNull<u8>) {
    // Out of the registry before anything else: a second free must not meet a new mapping.
    let taken = REGISTRY.lock().remove(start);
    match taken {
        Some(range) => retain_or_unmap(range),
        None => fatal::caught("free of an address that is no allocation", start.addr().get()),
    }
}

/// Length in bytes of the large allocation that begins at `start`, if one does.
pub(crate) fn length(start: NonNull<u8>) -> Option<usize> {
    REGISTRY.lock().get(start)
}

/// Resizes the large allocation at `start` to `size` bytes, keeping `align`. Where that fails
/// the old allocation is untouched.
pub(crate) fn reallocate(start: NonNull<u8>, size: usize, align: usize) -> Option<NonNull<u8>> {
    let bytes = align_up(size, sys::page_bytes());
    let taken = REGISTRY.lock().take(start);
    let Some(mut range) = taken else {
        fatal::caught("realloc of an address that is no allocation", start.addr().get());
        return None;
    };
    if bytes <= range.bytes {
        // Where the kernel does not cut, the allocation stays longer: the registry knows.
        // SAFETY: the caller gives up what is beyond `size`.
        let cut = if bytes == range.bytes { None } else { unsafe { range.resize(bytes, align) } };
        return note_again(cut.unwrap_or(range));
    }
    if let Some(grown) = grow_into_retained(&mut range, bytes) {
        poison::open(grown.start.as_ptr(), bytes);
        return note_again(grown);
    }
    // SAFETY: the range is out of the registry, and forgotten if it moves.
    if let Some(grown) = unsafe { range.resize(bytes, align) } {
        return note_again(grown);
    }
    let _ = note_again(range);
    let fresh = allocate(size, align, Contents::Any)?;
    COPIED_BYTES.fetch_add(range.bytes as u64, Ordering::Relaxed);
    // SAFETY: both ranges are owned, distinct, and at least as long as the old one.
    unsafe { fresh.copy_from_nonoverlapping(range.start, range.bytes) };
    free(range.start);
    Some(fresh)
}

/// The range with what is retained right behind it, as far as it is to have `bytes`.
fn grow_into_retained(range: &mut Range, bytes: usize) -> Option<Range> {
    let mut grown = RETAINED.lock().take_behind(*range, bytes.wrapping_sub(range.bytes))?;
    // SAFETY: the range is out of the registry, and nobody refers to what it has grown by.
    if unsafe { guard::open(&mut grown) } {
        return Some(grown);
    }
    // Guards that the kernel would not undo: what is behind goes.
    let lost = bytes.wrapping_sub(range.bytes);
    match grown.split(range.bytes).1 {
        Some(behind) => {
            COMMITTED.release(lost.wrapping_sub(behind.bytes));
            unmap(behind, sys::now_ms());
        }
        None => {
            COMMITTED.release(lost);
            stray::strand(lost);
        }
    }
    // SAFETY: the page behind the range is its own.
    unsafe { guard::guard_behind(range) };
    None
}

/// Puts back a range whose place in the registry was kept.
fn note_again(range: Range) -> Option<NonNull<u8>> {
    REGISTRY.lock().insert_again(range);
    Some(range.start)
}

/// A range of exactly `bytes` from what is retained.
fn reuse(bytes: usize, align: usize, contents: Contents) -> Option<Range> {
    if align > sys::page_bytes() {
        return None;
    }
    let mut found = RETAINED.lock().take(bytes)?;
    poison::open(found.start.as_ptr(), found.bytes);
    // SAFETY: nobody refers to a retained range.
    if !unsafe { guard::open(&mut found) } {
        unmap(found, sys::now_ms());
        return None;
    }
    let range = if found.bytes == bytes {
        found
    } else {
        // SAFETY: nobody refers to a retained range.
        match unsafe { found.resize(bytes, 1) } {
            Some(grown) => grown,
            None => {
                retain_or_unmap(found);
                return None;
            }
        }
    };
    // SAFETY: nobody refers to the range.
    unsafe { hardening::renew(range.start, range.bytes) };
    if contents == Contents::Zero {
        // What was retained is dirty; what it grew by is fresh. Writing zeroes costs a fraction
        // of giving the pages back and faulting them in again.
        // SAFETY: the range is this function's own, and at least that long.
        unsafe { range.start.write_bytes(0, found.bytes) };
    }
    Some(range)
}

/// Keeps a freed range for reuse, within bounds, and unmaps what has waited long.
fn retain_or_unmap(range: Range) {
    let now_ms = sys::now_ms();
    // SAFETY: nobody refers to a freed range.
    let may_wait = unsafe { guard::shut(range) };
    let rejected = if may_wait { RETAINED.lock().put(range, now_ms) } else { Some(range) };
    if let Some(rejected) = rejected {
        unmap(rejected, now_ms);
    }
    #[cfg(feature = "background-purge")]
    crate::background::need();
    purge_due();
}

/// Unmaps the range that has waited longest, if that was long enough: one a slow path.
#[inline]
pub(crate) fn purge_due() {
    #[cfg(feature = "background-purge")]
    if crate::background::is_running() {
        return;
    }
    unmap_due();
}

/// When the range that has waited longest is due; `u64::MAX` where none waits for its time.
#[cfg(feature = "background-purge")]
pub(crate) fn next_due_ms() -> u64 {
    retained::next_due_ms()
}

/// As [`purge_due`], whoever calls.
#[inline]
pub(crate) fn unmap_due() {
    if retained::is_due(sys::now_ms) {
        let now_ms = sys::now_ms();
        let due = RETAINED.lock().pop_due(now_ms);
        if let Some(range) = due {
            unmap(range, now_ms);
        }
    }
}

/// Unmaps everything that is retained.
pub(crate) fn release_retained() {
    stray::retry(usize::MAX);
    // Bounded: a range that the kernel would not take comes back with this moment's stamp.
    let now_ms = sys::now_ms();
    for _ in 0..crate::config::RETAINED_RANGES {
        let oldest = RETAINED.lock().pop_oldest();
        match oldest {
            Some(range) => unmap(range, now_ms),
            None => return,
        }
    }
}

fn unmap(range: Range, now_ms: u64) {
    // SAFETY: the range is in no list, and nobody else knows of it.
    if unsafe { range.unmap() } {
        return;
    }
    // ENOMEM at the map-count limit: it may be reused, unless its guards are mappings; where too many may
    // be, it waits, without its pages.
    let rejected =
        if guard::is_separate(range) { Some(range) } else { RETAINED.lock().put_back(range, now_ms) };
    if let Some(rejected) = rejected {
        COMMITTED.release(rejected.bytes);
        let (start, bytes) = guard::with_guards(rejected);
        // SAFETY: as above. What is marked cannot be written to now; anything else begins with a page that can.
        unsafe {
            if !guard::is_marked(rejected) {
                guard::forget(rejected);
                stray::keep(start, bytes, rejected.start);
            } else if !stray::note(start, bytes) {
                stray::strand(bytes);
            }
        }
    }
}
