//! Large allocations: each is a range of its own, without a header.
//!
//! | file | what |
//! | --- | --- |
//! | `mod` | allocating and freeing a large block; zeroing one |
//! | `resize` | `realloc`: in place, into retained memory, by moving pages, or by copying |
//! | `give_back` | freed ranges: retained, unmapped when due, or pending |
//! | `survey` | what there is, for statistics and `describe` |
//! | `registry` | the table of live allocations, by address |
//! | `retained` | freed ranges kept for reuse |
//! | `range`, `mapping_id` | a range: mapping, resizing, unmapping; which mapping it lies in |
//! | `owner` | which group an allocation belongs to |
//! | `guard` | guard pages |
//! | `shelf` | mappings that many blocks share |
//! | `crowd` | whether there are so many mappings that blocks must share them |
//! | `advice`, `fill` | huge pages for blocks that grow and were filled |
//! | `colour` | where in its first page a block begins |
//! | `zeroing` | zeroes for memory that was used before |
//!
//! State: the registry and the retained ranges, each under a lock of its own, and the shelves. None
//! of these locks is taken while another of them is held. Under the registry's lock, that of
//! `pending` is taken.

use core::ptr::NonNull;

use crate::base::address::align_up;
use crate::block::hardening;
use crate::os;
use crate::os::fatal;
use crate::os::lock::Lock;
use crate::os::watch;

mod advice;
mod colour;
mod crowd;
mod fill;
mod give_back;
mod guard;
mod mapping_id;
mod owner;
mod range;
mod registry;
mod resize;
mod retained;
mod shelf;
mod survey;
mod zeroing;

#[cfg(feature = "background-purge")]
pub(crate) use give_back::{next_due_ms, unmap_due};
pub(crate) use give_back::{purge_due, release_retained, retained_bytes};
use give_back::{retain_or_unmap, unmap};
pub(crate) use owner::{disown, own, owner};
use range::Range;
use registry::Registry;
pub(crate) use resize::{ROOM, copied_bytes, reallocate};
use retained::Retained;
pub(crate) use survey::{Busy, Life, could_map, inspect, kept_bytes, list, survey};
pub(crate) use zeroing::zero_block;

static REGISTRY: Lock<Registry> = Lock::new(Registry::new());
static RETAINED: Lock<Retained> = Lock::new(Retained::new());

/// What new memory must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contents {
    Any,
    Zero,
}

/// Makes the tables whole that other threads of the parent were changing. For a child.
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
    let entered = REGISTRY.lock().insert(range, offset);
    if entered.is_none() {
        retain_or_unmap(range);
    }
    entered
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
        unmap(found);
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
        // Only the retained part is dirty; what it grew by is fresh.
        // SAFETY: the range is this function's own, and at least that long.
        unsafe { zeroing::zero_range(range.start, found.bytes) };
    }
    Some(range)
}

/// Frees the large allocation at `start`.
pub(crate) fn free(start: NonNull<u8>) {
    // Out of the registry before anything else: a second free must not find a new mapping.
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
