//! When the next sample is due: a thread's countdown.

use core::cell::Cell;

use super::interval;
use crate::base::random;

/// Bytes after which a thread looks again whether the profiler is on.
const LOOK_BYTES: i64 = 1 << 20;

/// One heap's countdown; its thread's own.
pub(crate) struct Sampler {
    /// Bytes to allocate before the next sample; below zero when it is due.
    left: Cell<i64>,
    /// State of the random numbers; zero before the first.
    random: Cell<u64>,
    /// Whether the thread is in the profiler: nothing is sampled then.
    pub(super) busy: Cell<bool>,
}

impl Sampler {
    pub(crate) const fn new() -> Self {
        Self { left: Cell::new(0), random: Cell::new(0), busy: Cell::new(false) }
    }

    /// Counts an allocation. False if a sample is due.
    #[inline(always)]
    pub(crate) fn count(&self, bytes: usize) -> bool {
        let left = self.left.get().wrapping_sub(bytes as i64);
        self.left.set(left);
        left >= 0
    }

    /// Whether the last allocation counted, or this one of `bytes` if a sample was not due yet, is
    /// to be sampled: the mean distance, if so. Begins the next countdown.
    pub(super) fn falls_due(&self, bytes: usize) -> Option<usize> {
        if self.left.get() >= 0 && self.count(bytes) {
            return None;
        }
        let Some(mean) = interval() else {
            self.left.set(LOOK_BYTES);
            return None;
        };
        let is_first = self.random.get() == 0;
        // Distances of a Poisson process are exponential, whatever came before.
        let distance = -self.uniform().ln() * mean as f64;
        self.left.set(distance as i64);
        // The first countdown of all began at zero: its end was no chance.
        if is_first || self.busy.get() { None } else { Some(mean) }
    }

    /// A random number above zero, up to one.
    fn uniform(&self) -> f64 {
        let mut state = self.random.get();
        if state == 0 {
            state = core::ptr::from_ref(self).addr() as u64 ^ crate::os::now_ms().rotate_left(32) | 1;
        }
        let bits = random::next(&mut state) >> 11;
        self.random.set(state);
        (bits.wrapping_add(1)) as f64 / (1_u64 << 53) as f64
    }
}

/// How many blocks, in thousandths, and how many bytes a sampled block of `bytes` stands for.
pub(super) fn weight(bytes: usize, mean: usize) -> (u64, u64) {
    // The chance that a block holds at least one sampled byte.
    let chance = -(-(bytes as f64) / mean as f64).exp_m1();
    ((1000.0 / chance) as u64, (bytes as f64 / chance) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_make_up_for_chances() {
        let mean = 512 << 10;
        let (blocks, bytes) = weight(64, mean);
        assert!((mean as u64..mean as u64 + 64).contains(&bytes), "{bytes}");
        assert!(blocks.abs_diff(1000 * 8192) < 10_000, "{blocks}");
        assert_eq!(weight(64 << 20, mean), (1000, 64 << 20));
    }

    #[test]
    fn distances_have_the_mean() {
        super::super::INTERVAL.store(1000, crate::base::atomic::Ordering::Relaxed);
        let sampler = Sampler::new();
        let samples = (0..2_000_000).filter(|_| sampler.falls_due(10).is_some()).count();
        super::super::INTERVAL.store(0, crate::base::atomic::Ordering::Relaxed);
        // Blocks of 10 bytes hold a sample with a chance of 0.00995: 19,900 of them, give or take
        // 140.
        assert!((19_000..21_000).contains(&samples), "{samples}");
    }
}
