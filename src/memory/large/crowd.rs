//! How many of the process's mappings are the allocator's, at most.
//!
//! A process has a limit to its mappings (`vm.max_map_count`), beyond which it can start no thread. The kernel makes
//! one of neighbours that are alike, but each range of a block may be one. From three sixteenths of the limit on,
//! new blocks share mappings; with what chunks may take, the allocator's share stays below a quarter.
#![forbid(unsafe_code)]

use super::range::Range;
use super::{guard, shelf};
use crate::base::atomic::{AtomicUsize, Ordering};
use crate::os;

/// Live ranges that are on no shelf: a mapping each at most, without their guards.
static RANGES: AtomicUsize = AtomicUsize::new(0);

/// Shelves with a block. An empty one stays mapped while there are too many: unmapped, it could make two mappings
/// of one.
static SHELVES: AtomicUsize = AtomicUsize::new(0);

/// As many are far from any limit, which is not asked for below them.
const FEW: usize = 1 << 10;

/// Notes a range that is live from now on.
pub(super) fn enter(range: Range) {
    if !shelf::is_on(range) {
        RANGES.fetch_add(1, Ordering::Relaxed);
    }
}

/// Notes that a range is live no more.
pub(super) fn leave(range: Range) {
    if !shelf::is_on(range) {
        RANGES.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Notes that an empty shelf has its first block.
pub(super) fn shelf_is_used() {
    SHELVES.fetch_add(1, Ordering::Relaxed);
}

/// Notes that a shelf has no block any more.
pub(super) fn shelf_is_empty() {
    SHELVES.fetch_sub(1, Ordering::Relaxed);
}

/// Whether so many mappings may be large blocks' that further ones must share.
pub(super) fn is_crowded() -> bool {
    let guards = guard::separately_guarded().wrapping_mul(2);
    let all = [RANGES.load(Ordering::Relaxed), SHELVES.load(Ordering::Relaxed), guards];
    let most = all.into_iter().fold(0, usize::wrapping_add);
    most >= FEW && most >= (os::most_mappings() / 16).wrapping_mul(3)
}
