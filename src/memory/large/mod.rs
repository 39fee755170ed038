//! Large allocations: each is a range of its own, without a header.
//!
//! The registry knows each one's length, and says whether an address is a large allocation at
//! all. A freed range may wait for reuse, see [`retained`].

use core::ptr::NonNull;

use crate::base::address::align_up;
use crate::base::atomic::{AtomicU64, Ordering};
use crate::block::hardening;
use crate::memory::stray;
use crate::os;
use crate::os::fatal;
use crate::os::lock::Lock;
use crate::os::watch;
use crate::policy::limit::COMMITTED;
use crate::policy::options;

mod colour;
mod crowd;
mod fill;
mod guard;
mod range;
mod registry;
mod retained;
mod shelf;
mod zeroing;

use range::Range;
use registry::Registry;
use retained::Retained;
pub(crate) use zeroing::zero_block;

static REGISTRY: Lock<Registry> = Lock::new(Registry::new());
static RETAINED: Lock<Retained> = Lock::new(Retained::new());

/// A range that grows by less than one part in so many grows by as much: a block that grows in small steps
/// calls the kernel for few of them. The room is not touched, so it is not resident.
const ROOM: usize = 8;

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
    /// Address space of shared mappings that no block has, and no page of which is resident.
    pub(crate) spare_bytes: usize,
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
        spare_bytes: shelf::spare_bytes(),
        table_bytes: registry.mapped_bytes(),
    }
}

/// Bytes of address space that are only kept: retained, or refused by the kernel.
pub(crate) fn kept_bytes() -> usize {
    RETAINED.lock().bytes().saturating_add(stray::bytes())
}

/// Whether the kernel would map `bytes` now: asked by a mapping that is given back untouched.
pub(crate) fn could_map(bytes: usize) -> bool {
    let Ok(start) = os::map_unlocked(bytes) else { return false };
    // SAFETY: just mapped, and nobody knows of it.
    unsafe { stray::give_back(start, align_up(bytes, os::page_bytes())) };
    true
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
    let mut told = 0_usize;
    loop {
        let mut count = 0_usize;
        let retained = RETAINED.lock();
        for (place, range) in ranges.iter_mut().zip(retained.ranges().skip(told)) {
            *place = (range.start.addr().get(), range.bytes);
            count = count.wrapping_add(1);
        }
        drop(retained);
        if count == 0 {
            return;
        }
        told = told.wrapping_add(count);
        ranges.iter().take(count).for_each(|(address, bytes)| each(*address, *bytes, Life::Retained));
    }
}

/// The range that `address` lies in: where it begins, its length, and whose it is. `Err` where a
/// lock could not be had within a while: the caller may be the one that holds it. Nothing is called
/// while a lock is held.
pub(crate) fn inspect(address: usize) -> Result<Option<(usize, usize, Life)>, Busy> {
    let holds = |start: usize, bytes: usize| address.wrapping_sub(start) < bytes;
    let mut registry = REGISTRY.lock_within_a_while().ok_or(Busy)?;
    if let Some((start, bytes)) = registry.ranges().find(|(start, bytes)| holds(*start, *bytes)) {
        return Ok(Some((start, bytes, Life::Live)));
    }
    drop(registry);
    let retained = RETAINED.lock_within_a_while().ok_or(Busy)?;
    let found = retained.ranges().find(|range| holds(range.start.addr().get(), range.bytes));
    Ok(found.map(|range| (range.start.addr().get(), range.bytes, Life::Retained)))
}

/// The books are in use.
pub(crate) struct Busy;

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
        shelf::mend();
    }
}

/// A large allocation of `size` bytes, not more than `isize::MAX`.
pub(crate) fn allocate(size: usize, align: usize, contents: Contents) -> Option<NonNull<u8>> {
    let bytes = align_up(size.max(1), os::page_bytes());
    let range = match reuse(bytes, align, contents) {
        Some(range) => range,
        None => Range::map(bytes, align)?,
    };
    let offset = colour::next(bytes.wrapping_sub(size), align);
    // A statement of its own: the lock must end before the range is dealt with.
    let noted = REGISTRY.lock().insert(range, offset);
    if noted.is_none() {
        retain_or_unmap(range);
    }
    noted
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

/// Bytes that the large allocation that begins at `start` may use, if one does.
pub(crate) fn length(start: NonNull<u8>) -> Option<usize> {
    REGISTRY.lock().get(start)
}

/// Resizes the large allocation at `start` to `size` bytes, keeping `align`. Where that fails
/// the old allocation is untouched.
pub(crate) fn reallocate(start: NonNull<u8>, size: usize, align: usize) -> Option<NonNull<u8>> {
    // A statement of its own: the lock must end before anything else.
    let have = REGISTRY.lock().get(start);
    if have.is_some_and(|have| stays(have, size)) {
        return Some(start);
    }
    let taken = REGISTRY.lock().take(start);
    let Some(mut range) = taken else {
        fatal::caught("realloc of an address that is no allocation", start.addr().get());
        return None;
    };
    // Pages move as a whole, so the block keeps its place in the first one.
    let offset = start.addr().get().wrapping_sub(range.start.addr().get());
    let bytes = align_up(size.wrapping_add(offset), os::page_bytes());
    if bytes <= range.bytes {
        // Where the kernel does not cut, the allocation stays longer: the registry knows.
        // SAFETY: the caller gives up what is beyond `size`.
        let cut = if bytes == range.bytes { None } else { unsafe { range.resize(bytes, align) } };
        return Some(note_again(cut.unwrap_or(range), offset));
    }
    // SAFETY: the range is out of the registry, and forgotten if it moves.
    if let Some(grown) = unsafe { grow(&mut range, bytes, align) } {
        return Some(note_again(grown, offset));
    }
    let _ = note_again(range, offset);
    let have = range.bytes.wrapping_sub(offset);
    let fresh = allocate(size, align, Contents::Any)?;
    COPIED_BYTES.fetch_add(have as u64, Ordering::Relaxed);
    // SAFETY: both blocks are owned, distinct, and at least as long as the old one.
    unsafe { fresh.copy_from_nonoverlapping(start, have) };
    free(start);
    Some(fresh)
}

/// Whether a block that may use `have` bytes stays as it is for `size`: cutting less than an eighth off
/// would save little, and undo the room that growing blocks are given.
fn stays(have: usize, size: usize) -> bool {
    have.checked_sub(size).is_some_and(|spare| spare <= room(have))
}

/// Bytes that a block of `bytes` may have beyond what is asked for: none where a guard is to follow it.
fn room(bytes: usize) -> usize {
    if options::get().guard_pages { 0 } else { bytes / ROOM }
}

/// Grows a range to `bytes` at least, in place or elsewhere. Where that fails it is as it was.
///
/// # Safety
/// As for [`Range::resize`].
unsafe fn grow(range: &mut Range, bytes: usize, align: usize) -> Option<Range> {
    let roomy = bytes.max(align_up(range.bytes.wrapping_add(room(range.bytes)), os::page_bytes()));
    let wishes = if roomy == bytes { [Some(bytes), None] } else { [Some(roomy), Some(bytes)] };
    for bytes in wishes.into_iter().flatten() {
        if let Some(grown) = grow_into_retained(range, bytes) {
            watch::open(grown.start.as_ptr(), bytes);
            return Some(grown);
        }
    }
    // SAFETY: forwarded to the caller.
    wishes.into_iter().flatten().find_map(|bytes| unsafe { range.resize(bytes, align) })
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
            unmap(behind, os::now_ms());
        }
        None => {
            COMMITTED.release(lost);
            stray::note_lost(lost);
        }
    }
    // SAFETY: the page behind the range is its own.
    unsafe { guard::guard_behind(range) };
    None
}

/// Puts back a range whose place in the registry was kept. Says where its block begins.
fn note_again(range: Range, offset: usize) -> NonNull<u8> {
    REGISTRY.lock().insert_again(range, offset)
}

/// A range of exactly `bytes` from what is retained.
fn reuse(bytes: usize, align: usize, contents: Contents) -> Option<Range> {
    if align > os::page_bytes() {
        return None;
    }
    let mut found = RETAINED.lock().take(bytes)?;
    watch::open(found.start.as_ptr(), found.bytes);
    // SAFETY: nobody refers to a retained range.
    if !unsafe { guard::open(&mut found) } {
        unmap(found, os::now_ms());
        return None;
    }
    let range = if found.bytes == bytes {
        found
    } else {
        // SAFETY: nobody refers to a retained range.
        match unsafe { found.resize_plain(bytes, 1) } {
            Some(grown) => grown,
            None => {
                retain_or_unmap(found);
                return None;
            }
        }
    };
    // SAFETY: nobody refers to the range.
    unsafe { hardening::clear_for_reuse(range.start, range.bytes) };
    if contents == Contents::Zero {
        // What was retained is dirty; what it grew by is fresh.
        // SAFETY: the range is this function's own, and at least that long.
        unsafe { zeroing::zero_range(range.start, found.bytes) };
    }
    Some(range)
}

/// Keeps a freed range for reuse, within bounds, and unmaps what has waited long.
fn retain_or_unmap(range: Range) {
    let now_ms = os::now_ms();
    // SAFETY: nobody refers to a freed range.
    let may_wait = !shelf::is_on(range) && unsafe { guard::shut(range) };
    // Who is given it next may use it in another way.
    let range = range.without_advice();
    let rejected = if may_wait { RETAINED.lock().put(range, now_ms) } else { Some(range) };
    if let Some(rejected) = rejected {
        unmap(rejected, now_ms);
    }
    #[cfg(feature = "background-purge")]
    crate::memory::waiting::need();
    purge_due();
}

/// Unmaps the range that has waited longest, if that was long enough: one a slow path.
#[inline]
pub(crate) fn purge_due() {
    #[cfg(feature = "background-purge")]
    if crate::memory::waiting::is_running() {
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
    if retained::is_due(os::now_ms) {
        let now_ms = os::now_ms();
        let due = RETAINED.lock().pop_due(now_ms);
        if let Some(range) = due {
            unmap(range, now_ms);
        }
    }
}

/// Unmaps everything that is retained.
pub(crate) fn release_retained() {
    stray::retry(usize::MAX);
    shelf::release_empty();
    // Bounded: a range that the kernel would not take comes back with this moment's stamp.
    let now_ms = os::now_ms();
    for _ in 0..crate::base::config::RETAINED_RANGES {
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
                stray::note_lost(bytes);
            }
        }
    }
}
