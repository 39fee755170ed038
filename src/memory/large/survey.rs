//! What there is of large allocations, for statistics, pictures, `describe` and the question
//! whether a request can ever be met.

use super::{REGISTRY, RETAINED, shelf};
use crate::base::address::align_up;
use crate::memory::pending;
use crate::os;

/// Numbers of large allocations and their bytes.
pub(crate) struct Survey {
    /// Live allocations.
    pub(crate) live: usize,
    /// Bytes of their ranges.
    pub(crate) live_bytes: usize,
    pub(crate) retained_bytes: usize,
    /// Address space of shelves that no block has, and no page of which is resident.
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

/// Bytes of address space that are only kept: retained or pending.
pub(crate) fn kept_bytes() -> usize {
    RETAINED.lock().bytes().saturating_add(pending::bytes())
}

/// Whether the kernel would map `bytes` now. It is asked by a mapping that goes back untouched.
pub(crate) fn could_map(bytes: usize) -> bool {
    let Ok(start) = os::map_unlocked(bytes) else { return false };
    // SAFETY: just mapped, and nobody knows of it.
    unsafe { pending::unmap_or_keep(start, align_up(bytes, os::page_bytes())) };
    true
}

/// Ranges listed under one lock.
const LISTED: usize = 32;

/// A range that was listed.
#[derive(Clone, Copy)]
pub(crate) struct Listed {
    pub(crate) address: usize,
    pub(crate) bytes: usize,
    pub(crate) life: Life,
    /// The address of the books of its group; zero for none.
    pub(crate) owner: usize,
}

/// Calls `each` with every live large allocation, then with every retained range. No lock is
/// held meanwhile. A range that changes during the walk may be listed twice or not at all.
pub(crate) fn list(mut each: impl FnMut(Listed)) {
    let mut ranges = [Listed { address: 0, bytes: 0, life: Life::Retained, owner: 0 }; LISTED];
    let mut next = Some(0);
    while let Some(at) = next {
        let (written, rest) = REGISTRY.lock().list(at, &mut ranges);
        ranges.into_iter().take(written).for_each(&mut each);
        next = rest;
    }
    let mut listed = 0_usize;
    loop {
        let mut count = 0_usize;
        let retained = RETAINED.lock();
        for (entry, range) in ranges.iter_mut().zip(retained.ranges().skip(listed)) {
            *entry = Listed {
                address: range.start.addr().get(),
                bytes: range.bytes,
                life: Life::Retained,
                owner: 0,
            };
            count = count.wrapping_add(1);
        }
        drop(retained);
        if count == 0 {
            return;
        }
        listed = listed.wrapping_add(count);
        ranges.into_iter().take(count).for_each(&mut each);
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

/// A table is locked.
pub(crate) struct Busy;

/// Whether a range is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// A live allocation.
    Live,
    /// Freed, and kept for reuse.
    Retained,
}
