//! Growth: whether so much memory was taken that sleeping heaps are to be helped first.
//!
//! State: two atomic words. Threads that race lose a count, which does no harm.

use crate::base::atomic::{AtomicUsize, Ordering};
use crate::base::config::{CHUNK_BYTES, UNIT_BYTES};

/// Clean bytes that were taken since [`has_grown`] was last true.
static GROWN_BYTES: AtomicUsize = AtomicUsize::new(0);

/// Growth that makes help due: a unit after help that found something, else up to a chunk.
static GROWTH_STEP: AtomicUsize = AtomicUsize::new(CHUNK_BYTES);

/// Notes that clean units of `bytes` were taken.
pub(super) fn note(bytes: usize) {
    GROWN_BYTES.fetch_add(bytes, Ordering::Relaxed);
}

/// Whether so much memory has become resident since this was last true that help is due.
pub(crate) fn has_grown() -> bool {
    let step = GROWTH_STEP.load(Ordering::Relaxed);
    GROWN_BYTES.load(Ordering::Relaxed) >= step && GROWN_BYTES.swap(0, Ordering::Relaxed) >= step
}

/// Notes whether such help found something.
pub(crate) fn note_help(helped: bool) {
    let step = GROWTH_STEP.load(Ordering::Relaxed);
    let next = if helped { UNIT_BYTES } else { CHUNK_BYTES.min(step.saturating_mul(2)) };
    GROWTH_STEP.store(next, Ordering::Relaxed);
}
