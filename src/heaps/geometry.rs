//! The layout of a heap's range of addresses, which is that of its file: arithmetic.
//!
//! ```text
//! ┌ front ─────────────────────────────────────────────┬ area 0 ┬ area 1 ┬ …
//! │ superblock · superblock · state · table · 2 synced │        │        │
//! └────────────────────────────────────────────────────┴────────┴────────┴ … limit
//! ```
//!
//! An area has 4 MiB, is free, a chunk of slabs, or part of a span.
#![forbid(unsafe_code)]

use static_assertions::const_assert;

use crate::base::address::{align_down, align_up};
use crate::base::config::{CHUNK_BYTES, UNIT_BYTES};

/// Offsets of a file's superblocks: apart by the largest OS page, so that each is written back
/// alone.
pub(super) const SUPERBLOCKS: [usize; 2] = [0, UNIT_BYTES];
/// Offset of the mark: a word that says whether the file was closed.
pub(super) const MARK: usize = UNIT_BYTES / 2;
/// Offset of the engine's state.
pub(super) const STATE: usize = 2 * UNIT_BYTES;
/// Bytes for the engine's state.
pub(super) const STATE_BYTES: usize = UNIT_BYTES;
/// Offset of the table in force.
const TABLE: usize = STATE + STATE_BYTES;

/// The least limit in bytes: a chunk's header and a few slabs.
pub(super) const LEAST_LIMIT: usize = 16 * UNIT_BYTES;
/// The greatest limit in bytes: a word of the table can count its units, and few address spaces
/// have as much.
pub(super) const GREATEST_LIMIT: usize = 1 << 46;

const_assert!(SUPERBLOCKS[1] > MARK && STATE > SUPERBLOCKS[1]);

/// The shape of a heap of some limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    /// Bytes of all areas, a multiple of the unit.
    pub(super) limit: usize,
}

impl Geometry {
    /// For at most `limit` bytes, between the bounds above.
    pub(super) const fn of(limit: usize) -> Self {
        let limit = if limit < LEAST_LIMIT { LEAST_LIMIT } else { limit };
        let limit = if limit > GREATEST_LIMIT { GREATEST_LIMIT } else { limit };
        Self { limit: align_down(limit, UNIT_BYTES) }
    }

    /// Number of areas, the last of which may be short.
    pub(super) const fn areas(self) -> usize {
        self.limit.div_ceil(CHUNK_BYTES)
    }

    /// Bytes of a table.
    const fn table_bytes(self) -> usize {
        align_up(self.areas().wrapping_mul(8), UNIT_BYTES)
    }

    /// Offset of a table: 0 is the one in force, 1 and 2 are those of the last two syncs.
    pub(super) const fn table(self, index: usize) -> usize {
        TABLE.wrapping_add(index.wrapping_mul(self.table_bytes()))
    }

    /// Bytes before the first area.
    pub(super) const fn front(self) -> usize {
        align_up(self.table(3), CHUNK_BYTES)
    }

    /// Bytes of the whole range.
    pub(super) const fn whole(self) -> usize {
        self.front().wrapping_add(self.limit)
    }

    /// Bytes from an area's start to the limit.
    pub(super) const fn bytes_from(self, area: usize) -> usize {
        self.limit.saturating_sub(area.saturating_mul(CHUNK_BYTES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_areas_do_not_overlap() {
        for limit in [0, LEAST_LIMIT, CHUNK_BYTES, CHUNK_BYTES + 1, 1 << 30, 1 << 36, usize::MAX] {
            let it = Geometry::of(limit);
            assert!(it.limit.is_multiple_of(UNIT_BYTES) && it.limit >= LEAST_LIMIT);
            assert!(it.areas() * CHUNK_BYTES >= it.limit && (it.areas() - 1) * CHUNK_BYTES < it.limit);
            assert!(it.table(0) + it.areas() * 8 <= it.table(1));
            assert!(it.table(2) + it.areas() * 8 <= it.front());
            assert!(it.front().is_multiple_of(CHUNK_BYTES));
        }
    }
}
