//! The heap as the allocator tells it, gathered.

use std::collections::BTreeMap;

use freestone::groups::{self, GroupId};
use freestone::inspect::{ChunkPicture, Piece, SlabPicture, UnitPicture, heap_map};

/// What a unit of a chunk is, slabs' further units told by their first.
#[derive(Clone, Copy)]
pub(crate) enum Cell {
    Records,
    Dirty,
    Clean,
    Slab(SlabPicture),
}

pub(crate) struct Chunk {
    pub(crate) address: usize,
    pub(crate) cells: Vec<Cell>,
}

/// All slabs of one block size.
#[derive(Clone, Copy, Default)]
pub(crate) struct Class {
    pub(crate) slabs: usize,
    /// Bytes in use, handed out at least once, and mapped.
    pub(crate) used: usize,
    pub(crate) carved: usize,
    pub(crate) bytes: usize,
}

/// All memory of one group, or of none.
#[derive(Default)]
pub(crate) struct Share {
    pub(crate) name: String,
    pub(crate) slabs: usize,
    /// Bytes in use, in slabs, and of slabs.
    pub(crate) used: usize,
    pub(crate) bytes: usize,
    /// Bytes of large allocations.
    pub(crate) large: usize,
}

/// Bytes by what they are.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sums {
    pub(crate) used: usize,
    /// In slabs: free blocks that were used once, and what was never touched.
    pub(crate) free: usize,
    pub(crate) untouched: usize,
    pub(crate) dirty: usize,
    pub(crate) clean: usize,
    pub(crate) large: usize,
    pub(crate) retained: usize,
    pub(crate) records: usize,
}

#[derive(Default)]
pub(crate) struct Picture {
    pub(crate) chunks: Vec<Chunk>,
    /// By block size.
    pub(crate) classes: BTreeMap<usize, Class>,
    /// Address, bytes, and whether it is live.
    pub(crate) large: Vec<(usize, usize, bool)>,
    /// What is no group's comes first.
    pub(crate) shares: BTreeMap<Option<GroupId>, Share>,
    pub(crate) sums: Sums,
}

impl Picture {
    pub(crate) fn now() -> Self {
        let mut picture = Self::default();
        heap_map(|piece| match piece {
            Piece::Chunk(chunk) => picture.add_chunk(chunk),
            Piece::Large { address, bytes, group, .. } => {
                picture.sums.large += bytes;
                picture.shares.entry(group).or_default().large += bytes;
                picture.large.push((address, bytes, true));
            }
            Piece::Retained { address, bytes, .. } => {
                picture.sums.retained += bytes;
                picture.large.push((address, bytes, false));
            }
            _ => {}
        });
        picture.large.sort_unstable();
        // Those that end meanwhile have no name.
        groups::each(|group| {
            if let Some(share) = picture.shares.get_mut(&group.id()) {
                share.name = group.to_string();
            }
        });
        picture.shares.entry(None).or_default().name = "no group".into();
        picture
    }

    fn add_chunk(&mut self, chunk: &ChunkPicture) {
        let unit_bytes = ChunkPicture::UNIT_BYTES;
        let mut cells: Vec<Cell> = Vec::with_capacity(chunk.units().len());
        for unit in chunk.units() {
            let cell = match unit {
                UnitPicture::Records => Cell::Records,
                UnitPicture::Dirty => Cell::Dirty,
                UnitPicture::Slab(slab) => {
                    self.add_slab(slab);
                    Cell::Slab(*slab)
                }
                UnitPicture::More => cells.last().copied().unwrap_or(Cell::Clean),
                _ => Cell::Clean,
            };
            match cell {
                Cell::Records => self.sums.records += unit_bytes,
                Cell::Dirty => self.sums.dirty += unit_bytes,
                Cell::Clean => self.sums.clean += unit_bytes,
                Cell::Slab(_) => {}
            }
            cells.push(cell);
        }
        self.chunks.push(Chunk { address: chunk.address, cells });
    }

    fn add_slab(&mut self, slab: &SlabPicture) {
        let bytes = slab.units * ChunkPicture::UNIT_BYTES;
        let (used, carved) = (slab.used * slab.block, slab.carved * slab.block);
        let class = self.classes.entry(slab.block).or_default();
        class.slabs += 1;
        class.used += used;
        class.carved += carved;
        class.bytes += bytes;
        let share = self.shares.entry(slab.group).or_default();
        share.slabs += 1;
        share.used += used;
        share.bytes += bytes;
        self.sums.used += used;
        self.sums.free += carved - used;
        self.sums.untouched += bytes - carved;
    }
}

impl Picture {
    /// The letter that stands for a group: `-` for none, then `a` on.
    pub(crate) fn letter(&self, group: Option<GroupId>) -> char {
        let at = self.shares.keys().position(|one| *one == group).unwrap_or(0);
        "-abcdefghijklmnopqrstuvwxyz".chars().nth(at).unwrap_or('?')
    }
}

impl Sums {
    /// Every part with its name, in the order in which they are shown.
    pub(crate) fn parts(&self) -> [(&'static str, usize); 8] {
        [
            ("live, in slabs", self.used),
            ("live, large", self.large),
            ("free, in slabs", self.free),
            ("untouched", self.untouched),
            ("dirty", self.dirty),
            ("purged, fresh", self.clean),
            ("retained", self.retained),
            ("records", self.records),
        ]
    }

    pub(crate) fn mapped(&self) -> usize {
        self.parts().iter().map(|(_, bytes)| bytes).sum()
    }
}

/// Bytes for people: three digits and a unit.
pub(crate) fn human(bytes: usize) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.4} KiB", short(bytes, 10)),
        1_048_576..1_073_741_824 => format!("{:.4} MiB", short(bytes, 20)),
        _ => format!("{:.4} GiB", short(bytes, 30)),
    }
}

fn short(bytes: usize, log2: u32) -> String {
    let value = bytes as f64 / f64::from(1 << log2);
    if value.fract() < 0.05 || value >= 100.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}
