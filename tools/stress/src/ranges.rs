//! The ranges of large live blocks. Their bytes are sampled only, so that an overlap could go
//! unseen by its pattern; here it is seen as soon as it is handed out.

use std::sync::atomic::{AtomicBool, Ordering};

use live::Ranges;

#[path = "../../../tests/common/ranges.rs"]
mod live;

/// Shorter blocks are not noted: their patterns lie close enough.
const LEAST_BYTES: usize = 256 << 10;

static LIVE: Ranges = Ranges::new();
/// Set in a forked child, where the lock may belong to a thread that is not there.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// Stops noting, in a forked child.
pub(crate) fn close() {
    CLOSED.store(true, Ordering::Relaxed);
}

fn is_noted(bytes: usize) -> bool {
    bytes >= LEAST_BYTES && !CLOSED.load(Ordering::Relaxed)
}

/// Notes a block that was handed out. The start and length of a live one that it overlaps,
/// if there is one.
pub(crate) fn insert(start: usize, bytes: usize) -> Result<(), (usize, usize)> {
    if is_noted(bytes) { LIVE.insert(start, bytes) } else { Ok(()) }
}

/// Forgets a block, before it is given back.
pub(crate) fn remove(start: usize, bytes: usize) {
    if is_noted(bytes) {
        LIVE.remove(start);
    }
}
