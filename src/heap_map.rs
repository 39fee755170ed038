//! A picture of all that the allocator has mapped, piece by piece.

use crate::chunk::UnitState;
use crate::chunk_map;
use crate::config::{UNIT_BYTES, UNITS};
use crate::depot;
use crate::large::{self, Life};

/// A piece of the picture. Bytes and addresses throughout.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Piece<'p> {
    /// A chunk, from which slabs are carved.
    Chunk(&'p ChunkPicture),
    /// A large allocation, a mapping of its own.
    #[non_exhaustive]
    Large {
        /// Where it begins.
        address: usize,
        /// Its length.
        bytes: usize,
    },
    /// A large allocation that was freed and waits for reuse.
    #[non_exhaustive]
    Retained {
        /// Where it begins.
        address: usize,
        /// Its length.
        bytes: usize,
    },
}

/// A chunk.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ChunkPicture {
    /// Where it begins.
    pub address: usize,
    units: [UnitPicture; UNITS],
    mapped: usize,
}

impl ChunkPicture {
    /// Bytes of each of [`units`](Self::units).
    pub const UNIT_BYTES: usize = UNIT_BYTES;

    /// The chunk's units in order: as many as are mapped, 64 as a rule.
    #[must_use]
    pub fn units(&self) -> &[UnitPicture] {
        self.units.get(..self.mapped).unwrap_or_default()
    }
}

/// A unit of a chunk: 64 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnitPicture {
    /// The allocator's records of the chunk.
    Records,
    /// In no slab; its pages may be resident.
    Dirty,
    /// In no slab and not resident: purged, or never touched.
    Clean,
    /// The first unit of a slab.
    Slab(SlabPicture),
    /// A further unit of the slab before it, or one that is changing hands.
    More,
}

/// A slab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlabPicture {
    /// Bytes of a block.
    pub block: usize,
    /// Blocks in use, and those that other threads have freed and hold back: each of them at most 64 blocks or
    /// 8 KiB of a slab.
    pub used: usize,
    /// Blocks that were handed out since the slab began: the pages of the others are untouched.
    pub carved: usize,
    /// Blocks that there is room for.
    pub capacity: usize,
    /// Units of the slab.
    pub units: usize,
}

/// Calls `each` with every chunk, from the lowest, then with every large allocation and retained
/// range, in no order. Each chunk is looked at under the lock that keeps its units what they are,
/// and copied; no lock is held while `each` runs, which may allocate. Nothing else here does.
/// First-class heaps ([`heaps`](crate::heaps)) are not in the picture.
pub fn heap_map(mut each: impl FnMut(Piece<'_>)) {
    for picture in chunk_map::bases().filter_map(chunk) {
        each(Piece::Chunk(&picture));
    }
    large::list(|address, bytes, life| {
        each(match life {
            Life::Live => Piece::Large { address, bytes },
            Life::Retained => Piece::Retained { address, bytes },
        });
    });
}

/// The chunk at `base`, if it is still there.
fn chunk(base: usize) -> Option<ChunkPicture> {
    let mut picture = ChunkPicture { address: base, units: [UnitPicture::More; UNITS], mapped: 0 };
    depot::with_chunk(base, |chunk| {
        chunk.survey(|unit| {
            if let Some(place) = picture.units.get_mut(picture.mapped) {
                *place = unit_picture(unit);
                picture.mapped = picture.mapped.wrapping_add(1);
            }
        });
    });
    (picture.mapped != 0).then_some(picture)
}

fn unit_picture(unit: UnitState) -> UnitPicture {
    match unit {
        UnitState::Header => UnitPicture::Records,
        UnitState::Dirty => UnitPicture::Dirty,
        UnitState::Clean => UnitPicture::Clean,
        UnitState::Taken => UnitPicture::More,
        UnitState::Slab(slab) => {
            let block = slab.block_bytes();
            UnitPicture::Slab(SlabPicture {
                block,
                used: slab.held() as usize,
                carved: slab.carved_bytes().checked_div(block).unwrap_or(0),
                capacity: slab.capacity(),
                units: slab.units(),
            })
        }
    }
}
