//! A picture of all that the allocator has mapped, piece by piece.

use crate::base::config::{UNIT_BYTES, UNITS};
use crate::groups::GroupId;

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod draw;

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub use draw::heap_map;

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
        /// The [group](crate::groups) that it belongs to.
        group: Option<GroupId>,
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
    /// Blocks in use, and those that other threads have freed and hold back: each of them at most
    /// 64 blocks or 8 KiB of a slab.
    pub used: usize,
    /// Blocks that were handed out since the slab began: the pages of the others are untouched.
    pub carved: usize,
    /// Blocks that there is room for.
    pub capacity: usize,
    /// Units of the slab.
    pub units: usize,
    /// The [group](crate::groups) that its blocks belong to.
    pub group: Option<GroupId>,
}
