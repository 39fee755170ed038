//! The ranges of large live blocks. Their bytes are sampled only, so that an overlap could go
//! unseen by its pattern; here it is seen as soon as it is handed out.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Shorter blocks are not noted: their patterns lie close enough.
const LEAST_BYTES: usize = 256 << 10;

/// End by start.
static LIVE: Mutex<BTreeMap<usize, usize>> = Mutex::new(BTreeMap::new());
/// Set in a forked child, where the lock may belong to a thread that is not there.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// Stops noting, in a forked child.
pub(crate) fn close() {
    CLOSED.store(true, Ordering::Relaxed);
}

/// Notes a block that was handed out. The start and length of a live one that it overlaps,
/// if there is one.
pub(crate) fn insert(start: usize, bytes: usize) -> Result<(), (usize, usize)> {
    if bytes < LEAST_BYTES || CLOSED.load(Ordering::Relaxed) {
        return Ok(());
    }
    let mut live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
    let end = start + bytes;
    if let Some((&other, &other_end)) = live.range(..end).next_back()
        && other_end > start
    {
        return Err((other, other_end - other));
    }
    live.insert(start, end);
    Ok(())
}

/// Forgets a block, before it is given back.
pub(crate) fn remove(start: usize, bytes: usize) {
    if bytes < LEAST_BYTES || CLOSED.load(Ordering::Relaxed) {
        return;
    }
    LIVE.lock().unwrap_or_else(PoisonError::into_inner).remove(&start);
}
