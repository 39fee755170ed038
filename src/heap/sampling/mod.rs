//! Which blocks the profiler follows: each thread's countdown to its next sample, and the blocks
//! that were sampled.
//!
//! A heap samples on its slow paths. `observe/profile` reads the records.

use crate::base::atomic::{AtomicUsize, Ordering};

pub(crate) mod records;
mod rows;
mod sampler;
mod samples;

pub(crate) use sampler::Sampler;
pub(crate) use samples::{
    Quiet, free, group_at, is_home, large_freed, large_made, mend, prepare, put_back, sample, take, trim,
};

/// Mean distance of samples; zero while the profiler is off.
static INTERVAL: AtomicUsize = AtomicUsize::new(0);

/// Mean distance of samples in allocated bytes. None while the profiler is off.
pub(crate) fn interval() -> Option<usize> {
    Some(INTERVAL.load(Ordering::Relaxed)).filter(|bytes| *bytes != 0)
}

/// Sets the mean distance of samples; zero turns the profiler off.
pub(crate) fn set_interval(bytes: usize) {
    INTERVAL.store(bytes, Ordering::Relaxed);
}
