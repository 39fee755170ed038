//! How many of the process's mappings are large blocks', at most.
//!
//! A process has a limit to its mappings (`vm.max_map_count`), beyond which it can start no thread.
//! The kernel makes one of neighbours that are alike, but each block's range may be one. From three
//! sixteenths of the limit on, new blocks share mappings (`shelf`). Chunks may take one sixteenth.
//!
//! State: two counters, atomic words.
#![forbid(unsafe_code)]

use super::guard;
use super::range::Range;
use crate::base::atomic::{AtomicUsize, Ordering};
use crate::os;

/// Live ranges that are on no shelf: a mapping each at most, guards not counted.
static RANGES: AtomicUsize = AtomicUsize::new(0);

/// Shelves with a block. Empty ones stay mapped while there are too many mappings: unmapped, one
/// could make two mappings of one.
static SHELVES: AtomicUsize = AtomicUsize::new(0);

/// Mappings that are far from any limit; the kernel is not asked for it below them.
const FEW: usize = 1 << 10;

/// Counts a range that is live from now on.
pub(super) fn enter(range: Range) {
    if !range.mapping.is_shelved() {
        RANGES.fetch_add(1, Ordering::Relaxed);
    }
}

/// Ends the count of a range.
pub(super) fn leave(range: Range) {
    if !range.mapping.is_shelved() {
        RANGES.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts a shelf that has its first block.
pub(super) fn shelf_is_used() {
    SHELVES.fetch_add(1, Ordering::Relaxed);
}

/// Ends the count of a shelf without blocks.
pub(super) fn shelf_is_empty() {
    SHELVES.fetch_sub(1, Ordering::Relaxed);
}

/// Whether so many mappings may be large blocks' that further blocks must share some.
pub(super) fn is_crowded() -> bool {
    let guards = guard::separately_guarded().wrapping_mul(2);
    let all = [RANGES.load(Ordering::Relaxed), SHELVES.load(Ordering::Relaxed), guards];
    let most = all.into_iter().fold(0, usize::wrapping_add);
    most >= FEW && most >= (os::most_mappings() / 16).wrapping_mul(3)
}
