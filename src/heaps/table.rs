//! What each chunk's worth of a heap's range is: one word each, and the one store that changes it.

use crate::base::atomic::{AtomicU64, Ordering};
use crate::base::config::{CHUNK_BYTES, UNIT_BYTES, UNITS};

/// What a chunk's worth of addresses holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Nothing. The inside of a span says this too: whoever walks skips it.
    Free {
        /// Whether it reads as zero.
        zero: bool,
    },
    /// Slabs. In a synced table with which of the chunk's two pages is valid, and its checksum.
    Slabs { page: usize, checksum: u32 },
    /// A block of so many units that begins here.
    Span { units: usize },
}

const FREE: u64 = 0;
const DIRTY: u64 = 1;
const SLABS: u64 = 2;
const SPAN: u64 = 3;

impl Use {
    /// Free, and holding anything.
    pub(super) const DIRTY: Self = Self::Free { zero: false };
    /// Slabs, in the table in force.
    pub(super) const SLABS: Self = Self::Slabs { page: 0, checksum: 0 };

    const fn pack(self) -> u64 {
        match self {
            Self::Free { zero: true } => FREE,
            Self::Free { zero: false } => DIRTY,
            Self::Slabs { page, checksum } => SLABS | (page as u64) << 2 | (checksum as u64) << 32,
            Self::Span { units } => SPAN | (units as u64) << 8,
        }
    }

    const fn unpack(word: u64) -> Self {
        match word & 3 {
            FREE => Self::Free { zero: true },
            DIRTY => Self::DIRTY,
            SLABS => Self::Slabs { page: (word >> 2 & 1) as usize, checksum: (word >> 32) as u32 },
            _ => Self::Span { units: (word >> 8) as usize },
        }
    }

    /// Chunks' worth from here on that belong to it.
    pub(super) const fn chunks(self) -> usize {
        match self {
            Self::Free { .. } => 0,
            Self::Slabs { .. } => 1,
            Self::Span { units } => units.div_ceil(UNITS),
        }
    }
}

/// A table of a heap.
#[derive(Clone, Copy)]
pub(super) struct Table(pub(super) &'static [AtomicU64]);

impl Table {
    /// What is at `index`; beyond the end as if taken.
    pub(super) fn get(self, index: usize) -> Use {
        self.0.get(index).map_or(Use::SLABS, |word| Use::unpack(word.load(Ordering::Relaxed)))
    }

    pub(super) fn set(self, index: usize, to: Use) {
        if let Some(word) = self.0.get(index) {
            word.store(to.pack(), Ordering::Release);
        }
    }

    /// What is at each place, without the insides of spans, below `top`.
    pub(super) fn walk(self, top: usize) -> impl Iterator<Item = (usize, Use)> {
        let mut at = 0_usize;
        core::iter::from_fn(move || {
            if at >= top {
                return None;
            }
            let (here, what) = (at, self.get(at));
            at = at.saturating_add(what.chunks().max(1));
            Some((here, what))
        })
    }

    /// A look at one place after another.
    const fn cover(self) -> Cover {
        Cover { table: self, until: 0 }
    }
}

/// Which places are taken, asked in order.
struct Cover {
    table: Table,
    until: usize,
}

impl Cover {
    fn has(&mut self, index: usize) -> bool {
        if index >= self.until {
            self.until = index.saturating_add(self.table.get(index).chunks());
        }
        index < self.until
    }
}

/// The places below `end` that are free in the table in force and were at the last sync.
pub(super) fn free_places(now: Table, synced: Option<Table>, end: usize) -> impl Iterator<Item = usize> {
    let mut now = now.cover();
    let mut synced = synced.map(Table::cover);
    (0..end).filter(move |index| {
        // Both are asked each time: they only look forward.
        let then = synced.as_mut().is_some_and(|synced| synced.has(*index));
        !now.has(*index) && !then
    })
}

/// The first of `bytes` worth of adjoining free places where `fits` holds.
pub(super) fn find(
    now: Table,
    synced: Option<Table>,
    end: usize,
    bytes: usize,
    fits: impl Fn(usize) -> bool,
) -> Option<usize> {
    let wanted = bytes.div_ceil(CHUNK_BYTES);
    let (mut first, mut have) = (0_usize, 0_usize);
    for index in free_places(now, synced, end) {
        if have == 0 || index != first.wrapping_add(have) {
            have = 0;
            if !fits(index) {
                continue;
            }
            first = index;
        }
        have = have.wrapping_add(1);
        if have == wanted {
            return Some(first);
        }
    }
    None
}

/// Units that hold `bytes`.
pub(super) const fn units_of(bytes: usize) -> usize {
    bytes.div_ceil(UNIT_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(entries: &[Use]) -> Table {
        let words: Vec<AtomicU64> = entries.iter().map(|entry| AtomicU64::new(entry.pack())).collect();
        Table(words.leak())
    }

    #[test]
    fn words_hold_what_they_are_given() {
        for what in [
            Use::DIRTY,
            Use::Free { zero: true },
            Use::Slabs { page: 1, checksum: u32::MAX },
            Use::Slabs { page: 0, checksum: 7 },
            Use::Span { units: 1 << 30 },
        ] {
            assert_eq!(Use::unpack(what.pack()), what);
        }
    }

    #[test]
    fn places_are_free_only_if_they_were_at_the_last_sync() {
        let free = Use::DIRTY;
        // 0: slabs, 1: free, 2 and 3: a span, 4 to 6: free.
        let now = table(&[Use::SLABS, free, Use::Span { units: 65 }, free, free, free, free]);
        assert_eq!(free_places(now, None, 7).collect::<Vec<_>>(), [1, 4, 5, 6]);
        // 4 and 5 were a span then.
        let then = table(&[free, free, free, free, Use::Span { units: 66 }, free, free]);
        assert_eq!(free_places(now, Some(then), 7).collect::<Vec<_>>(), [1, 6]);
        assert_eq!(find(now, None, 7, 2 * CHUNK_BYTES, |_| true), Some(4));
        assert_eq!(find(now, None, 7, 2 * CHUNK_BYTES, |at| at != 4), Some(5));
        assert_eq!(find(now, None, 7, 4 * CHUNK_BYTES, |_| true), None);
        assert_eq!(now.walk(7).count(), 6);
    }
}
