//! How much free memory is likely to be needed again, learned from what was needed before.
//!
//! Memory that a program frees once goes back after the purge delay. Memory that it frees and needs
//! again, request after request, is kept, however much that is. The two are told apart when memory
//! is needed again: it was kept until then, or it is *missed*, having gone back shortly before.
#![forbid(unsafe_code)]

use crate::base::config::{DEMAND_DELAYS, PURGE_STEP_BYTES};

/// The demand for one kind of free memory. The holder of that memory's lock reports every change.
///
/// Time is cut into windows of [`DEMAND_DELAYS`] purge delays.
pub(crate) struct Demand {
    /// Bytes that went back in this window and were not needed since.
    gone: usize,
    /// The same of the window before.
    gone_before: usize,
    /// The most that was free at a time in this window, kept or gone.
    top: usize,
    /// The deepest fall below `top` in this window.
    need: usize,
    /// The largest need of the windows before, halved for each window since.
    need_before: usize,
    /// When the window ends. The first tick after that ends it: a program that asks for nothing
    /// makes few.
    ends_ms: u64,
}

impl Demand {
    pub(crate) const fn new() -> Self {
        Self { gone: 0, gone_before: 0, top: 0, need: 0, need_before: 0, ends_ms: 0 }
    }

    /// Bytes to keep: the need, and a quarter more for memory that does not fit as it did.
    pub(crate) fn keep(&self) -> usize {
        let need = self.need.max(self.need_before);
        need.saturating_add(need / 4)
    }

    /// Reports a free: `free` bytes are kept now.
    pub(crate) fn freed(&mut self, free: usize) {
        self.top = self.top.max(self.all(free));
    }

    /// Reports a use: `free` bytes are kept now, and `fresh` bytes came from the kernel.
    pub(crate) fn needed(&mut self, free: usize, fresh: usize) {
        let missed = fresh.min(self.gone);
        self.gone = self.gone.wrapping_sub(missed);
        self.gone_before = self.gone_before.saturating_sub(fresh.wrapping_sub(missed));
        self.need = self.need.max(self.top.saturating_sub(self.all(free)));
    }

    /// Reports that `bytes` went back to the kernel unasked.
    pub(crate) fn gave_back(&mut self, bytes: usize) {
        self.gone = self.gone.wrapping_add(bytes);
    }

    /// Ends the window if its time is over. `free` bytes are kept now.
    pub(crate) fn tick(&mut self, free: usize, now_ms: u64, delay_ms: u64) {
        if now_ms < self.ends_ms {
            return;
        }
        self.ends_ms = now_ms.saturating_add(delay_ms.saturating_mul(DEMAND_DELAYS));
        let half = Some(self.need_before / 2).filter(|half| *half >= PURGE_STEP_BYTES);
        self.need_before = self.need.max(half.unwrap_or(0));
        self.need = 0;
        self.gone_before = core::mem::take(&mut self.gone);
        self.top = self.all(free);
    }

    /// Forgets every need: the program asked for a purge of everything.
    pub(crate) fn forget(&mut self) {
        *self = Self { ends_ms: self.ends_ms, ..Self::new() };
    }

    /// Bytes that are free, of which `free` are kept: those that went back lately count too.
    fn all(&self, free: usize) -> usize {
        free.wrapping_add(self.gone).wrapping_add(self.gone_before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY_MS: u64 = 100;
    const WINDOW_MS: u64 = DELAY_MS * DEMAND_DELAYS;
    const MIB: usize = 1 << 20;

    #[test]
    fn what_is_freed_once_is_not_kept() {
        let mut demand = Demand::new();
        // A process that grows has nothing free that it could need.
        demand.needed(0, 256 * MIB);
        demand.freed(256 * MIB);
        assert_eq!(demand.keep(), 0);
        // And a little of it says nothing of the rest.
        demand.needed(252 * MIB, 0);
        assert_eq!(demand.keep(), 5 * MIB);
    }

    #[test]
    fn what_was_missed_is_kept_the_next_time() {
        let mut demand = Demand::new();
        demand.freed(256 * MIB);
        demand.gave_back(200 * MIB);
        demand.needed(0, 200 * MIB);
        assert_eq!(demand.keep(), 320 * MIB);
        // Growth beyond what was ever free is no need of it.
        demand.needed(0, 500 * MIB);
        assert_eq!(demand.keep(), 320 * MIB);
    }

    #[test]
    fn a_rhythm_is_remembered_and_then_forgotten_by_halves() {
        let mut demand = Demand::new();
        let mut now_ms = 1;
        demand.tick(0, now_ms, DELAY_MS);
        for _ in 0..5 {
            demand.freed(64 * MIB);
            demand.needed(0, 0);
            now_ms += WINDOW_MS;
            demand.tick(0, now_ms, DELAY_MS);
            assert_eq!(demand.keep(), 80 * MIB);
        }
        for half in [32, 16, 8, 4, 2, 1, 0] {
            demand.tick(0, now_ms + WINDOW_MS - 1, DELAY_MS);
            now_ms += WINDOW_MS;
            demand.tick(0, now_ms, DELAY_MS);
            assert_eq!(demand.keep(), half * MIB * 5 / 4);
        }
        demand.freed(64 * MIB);
        demand.needed(0, 0);
        demand.forget();
        assert_eq!(demand.keep(), 0);
    }

    #[test]
    fn what_went_long_ago_is_not_missed() {
        let mut demand = Demand::new();
        demand.freed(64 * MIB);
        demand.gave_back(64 * MIB);
        for turn in 1..=2 {
            demand.tick(0, turn * WINDOW_MS, DELAY_MS);
        }
        demand.needed(0, 64 * MIB);
        assert_eq!(demand.keep(), 0);
    }
}
