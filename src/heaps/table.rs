//! The table of a heap's areas: a word for each, and the one store that changes it.
//!
//! A word is part of the file format.
//!
//! | bits | content |
//! | --- | --- |
//! | 0 and 1 | 0: free and zero; 1: free; 2: a chunk of slabs; 3: a span begins here |
//! | 2 | chunk, in a synced table: which of its two synced bitmaps is valid |
//! | 32 to 63 | chunk, in a synced table: checksum of that bitmap |
//! | 8 to 63 | span: its units |

use crate::base::atomic::{AtomicU64, Ordering};
use crate::base::config::{CHUNK_BYTES, UNIT_BYTES, UNITS};

/// What an area is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Free. The words of areas inside a span say this, too: [`Table::walk`] skips them.
    Free {
        /// Whether it reads as zero.
        zero: bool,
    },
    /// A chunk of slabs. In a synced table with the valid one of its two synced bitmaps, and its
    /// checksum.
    Slabs { copy: usize, checksum: u32 },
    /// The beginning of a block of so many units.
    Span { units: usize },
}

const FREE: u64 = 0;
const DIRTY: u64 = 1;
const SLABS: u64 = 2;
const SPAN: u64 = 3;

impl Use {
    /// Free, with bytes that may not be zero.
    pub(super) const DIRTY: Self = Self::Free { zero: false };
    /// A chunk of slabs, in the table in force.
    pub(super) const SLABS: Self = Self::Slabs { copy: 0, checksum: 0 };

    const fn pack(self) -> u64 {
        match self {
            Self::Free { zero: true } => FREE,
            Self::Free { zero: false } => DIRTY,
            Self::Slabs { copy, checksum } => SLABS | (copy as u64) << 2 | (checksum as u64) << 32,
            Self::Span { units } => SPAN | (units as u64) << 8,
        }
    }

    const fn unpack(word: u64) -> Self {
        match word & 3 {
            FREE => Self::Free { zero: true },
            DIRTY => Self::DIRTY,
            SLABS => Self::Slabs { copy: (word >> 2 & 1) as usize, checksum: (word >> 32) as u32 },
            _ => Self::Span { units: (word >> 8) as usize },
        }
    }

    /// Areas from here on that belong to it.
    pub(super) const fn areas(self) -> usize {
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
    /// The area at `index`; beyond the end it counts as taken.
    pub(super) fn get(self, index: usize) -> Use {
        self.0.get(index).map_or(Use::SLABS, |word| Use::unpack(word.load(Ordering::Relaxed)))
    }

    pub(super) fn set(self, index: usize, to: Use) {
        if let Some(word) = self.0.get(index) {
            word.store(to.pack(), Ordering::Release);
        }
    }

    /// The areas below `top` with their indices, without those inside spans.
    pub(super) fn walk(self, top: usize) -> impl Iterator<Item = (usize, Use)> {
        let mut at = 0_usize;
        core::iter::from_fn(move || {
            if at >= top {
                return None;
            }
            let (here, what) = (at, self.get(at));
            at = at.saturating_add(what.areas().max(1));
            Some((here, what))
        })
    }

    /// A cursor at the first area.
    const fn cursor(self) -> Cursor {
        Cursor { table: self, until: 0 }
    }
}

/// Answers which areas are taken, for indices in rising order.
struct Cursor {
    table: Table,
    until: usize,
}

impl Cursor {
    fn is_taken(&mut self, index: usize) -> bool {
        if index >= self.until {
            self.until = index.saturating_add(self.table.get(index).areas());
        }
        index < self.until
    }
}

/// The areas below `end` that are free in the table in force and were at the last sync.
pub(super) fn free_areas(in_force: Table, synced: Option<Table>, end: usize) -> impl Iterator<Item = usize> {
    let mut in_force = in_force.cursor();
    let mut synced = synced.map(Table::cursor);
    (0..end).filter(move |index| {
        // Both cursors advance each time: they only move forward.
        let synced = synced.as_mut().is_some_and(|synced| synced.is_taken(*index));
        !in_force.is_taken(*index) && !synced
    })
}

/// The first of adjoining free areas with `bytes` bytes together, of which `fits` allows the first.
pub(super) fn find_areas(
    in_force: Table,
    synced: Option<Table>,
    end: usize,
    bytes: usize,
    fits: impl Fn(usize) -> bool,
) -> Option<usize> {
    let wanted = bytes.div_ceil(CHUNK_BYTES);
    let (mut first, mut have) = (0_usize, 0_usize);
    for index in free_areas(in_force, synced, end) {
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
    fn a_word_holds_its_use() {
        for what in [
            Use::DIRTY,
            Use::Free { zero: true },
            Use::Slabs { copy: 1, checksum: u32::MAX },
            Use::Slabs { copy: 0, checksum: 7 },
            Use::Span { units: 1 << 30 },
        ] {
            assert_eq!(Use::unpack(what.pack()), what);
        }
    }

    #[test]
    fn areas_are_free_only_if_they_were_at_the_last_sync() {
        let free = Use::DIRTY;
        // 0: slabs, 1: free, 2 and 3: a span, 4 to 6: free.
        let in_force = table(&[Use::SLABS, free, Use::Span { units: 65 }, free, free, free, free]);
        assert_eq!(free_areas(in_force, None, 7).collect::<Vec<_>>(), [1, 4, 5, 6]);
        // 4 and 5 were a span then.
        let synced = table(&[free, free, free, free, Use::Span { units: 66 }, free, free]);
        assert_eq!(free_areas(in_force, Some(synced), 7).collect::<Vec<_>>(), [1, 6]);
        assert_eq!(find_areas(in_force, None, 7, 2 * CHUNK_BYTES, |_| true), Some(4));
        assert_eq!(find_areas(in_force, None, 7, 2 * CHUNK_BYTES, |at| at != 4), Some(5));
        assert_eq!(find_areas(in_force, None, 7, 4 * CHUNK_BYTES, |_| true), None);
        assert_eq!(in_force.walk(7).count(), 6);
    }
}
