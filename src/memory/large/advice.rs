//! The huge pages of large blocks: a block that grows and was filled gets them.
//!
//! [`policy::huge`](crate::policy::huge) decides, [`fill`] observes, and this file puts both
//! together. Advice concerns a range with its guards: without them it would be three mappings.

use super::range::Range;
use super::{fill, guard};
use crate::memory::advice::advise;
use crate::policy::huge::{self, Advice, Growth};

impl Range {
    /// Advises about a fresh range.
    pub(super) fn advise_fresh(self) {
        let (start, bytes) = guard::with_guards(self);
        // SAFETY: the range is the caller's.
        unsafe { advise(start, bytes, huge::of_large(self.bytes)) };
    }

    /// Advises about a range that was `old_bytes` long: to have huge pages if those were filled,
    /// for it is likely that the rest is filled soon. Else the advice of an earlier growth ends.
    pub(super) fn advise_growth(self, old_bytes: usize) -> Self {
        // A shelf has its own advice, which the next block in the slot must find.
        if self.mapping.is_shelved() {
            return self;
        }
        match huge::of_growth(old_bytes, self.bytes, || self.was_filled(old_bytes)) {
            Growth::Keep => self,
            Growth::End => self.without_advice(),
            Growth::Ask => self.ask_for_huge(old_bytes),
        }
    }

    /// Whether the first `bytes` are filled.
    fn was_filled(self, bytes: usize) -> bool {
        let (first, _) = self.split(bytes);
        if self.mapping.is_advised() { fill::is_window_filled(first) } else { fill::is_filled(first) }
    }

    /// Asks for huge pages beyond the first `old_bytes`, but for windows by which the next growth
    /// tells whether they were filled.
    fn ask_for_huge(self, old_bytes: usize) -> Self {
        let plain = if fill::has_fresh_window(self, old_bytes) { self.without_advice() } else { self };
        // SAFETY: nobody has used what the block has grown by.
        unsafe { fill::keep_small(plain, old_bytes) };
        let (start, bytes) = guard::with_guards(self);
        // SAFETY: the range is the caller's.
        let is_advised = huge::are_worth_asking() && unsafe { advise(start, bytes, Advice::Huge) };
        if !is_advised {
            return plain.without_advice();
        }
        // The kernel keeps an advised range apart from its neighbours.
        let advised = Self { mapping: self.mapping.fresh_like().advised(), ..self };
        let is_dear = fill::fresh_huge_page(self, old_bytes).is_some_and(|offset| {
            // SAFETY: in the range, and fresh: it reads as zero.
            !huge::is_worth(|| unsafe { self.start.byte_add(offset).write_volatile(0) })
        });
        if is_dear { advised.without_advice() } else { advised }
    }

    /// Ends the advice of an earlier growth, if there was one. Huge pages that the range has stay.
    pub(super) fn without_advice(self) -> Self {
        if !self.mapping.is_advised() {
            return self;
        }
        let (start, bytes) = guard::with_guards(self);
        // SAFETY: the range is the caller's.
        unsafe { advise(start, bytes, Advice::Small) };
        Self { mapping: self.mapping.unadvised(), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn a_filled_block_that_grows_in_its_slot_stays_on_its_shelf() {
        let mut range = Range::map(MIB, 64 * MIB).expect("memory");
        assert!(range.mapping.is_shelved());
        // SAFETY: the range is the test's own, and the longer one replaces the shorter.
        unsafe {
            range.start.write_bytes(1, range.bytes);
            let grown = range.resize(16 * MIB, 64 * MIB).expect("room in the slot");
            assert!(grown.start == range.start && grown.mapping.is_shelved());
            assert!(grown.unmap());
        }
    }
}
