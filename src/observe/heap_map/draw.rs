//! The drawing itself.

use core::ptr;

use super::{ChunkPicture, Piece, SlabPicture, UnitPicture};
use crate::base::config::UNITS;
use crate::groups::GroupId;
use crate::heap::groups;
use crate::memory::chunk::UnitState;
use crate::memory::chunk::index;
use crate::memory::depot;
use crate::memory::large::{self, Life};
use crate::memory::slab::Slab;

/// Calls `each` with every chunk, from the lowest, then with every large allocation and retained
/// range, in no order. Each chunk is looked at under the lock that keeps its units what they are,
/// and copied; no lock is held while `each` runs, which may allocate. Nothing else here does.
/// First-class heaps ([`heaps`](crate::heaps)) are not in the picture.
pub fn heap_map(mut each: impl FnMut(Piece<'_>)) {
    for picture in index::bases().filter_map(chunk) {
        each(Piece::Chunk(&picture));
    }
    large::list(|range| {
        let (address, bytes) = (range.address, range.bytes);
        each(match range.life {
            Life::Live => Piece::Large { address, bytes, group: GroupId::of_books(range.owner) },
            Life::Retained => Piece::Retained { address, bytes },
        });
    });
}

/// The group of the slab's heap.
fn group_of(slab: &Slab) -> Option<GroupId> {
    let record = groups::group_of(slab.home())?;
    GroupId::of_books(ptr::from_ref(&record.books).addr())
}

/// The chunk at `base`, if it is still there.
fn chunk(base: usize) -> Option<ChunkPicture> {
    let mut picture = ChunkPicture { address: base, units: [UnitPicture::More; UNITS], mapped: 0 };
    depot::with_chunk(base, |chunk| {
        chunk.survey(|unit| {
            if let Some(entry) = picture.units.get_mut(picture.mapped) {
                *entry = unit_picture(unit);
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
                group: group_of(slab),
            })
        }
    }
}
