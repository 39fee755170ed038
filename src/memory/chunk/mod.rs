//! A chunk: one aligned mapping of 64 units, its header, and the sets of its units.
//!
//! | file | what |
//! | --- | --- |
//! | `mod` | the header's layout; from an address to its record |
//! | `map` | mapping a chunk, and unmapping it |
//! | `units` | units that slabs take and bring back |
//! | `purge` | units that a purge takes out and brings back; ending huge pages |
//! | `runs` | arithmetic on sets of units |
//! | `by_run` | lists of chunks by their longest free run |
//! | `dense` | whether the next chunk is likely to be filled |
//! | `survey` | what each unit is, for statistics and pictures |
//! | `index` | whether an address lies in a chunk |
//!
//! State: the headers, each its owner's, which is the depot under its lock or a first-class heap;
//! the number of chunks, and where the last ones lie, in atomic words; the index. The room takes no
//! lock but those of `pending` and `records`.

use core::cell::Cell;
use core::mem::offset_of;
use core::ptr::{self, NonNull};

use static_assertions::const_assert;

use crate::base::address::align_down;
use crate::base::atomic::AtomicU64;
use crate::base::config::{CHUNK_BYTES, RECORD_BYTES, UNIT_BYTES, UNITS};
use crate::memory::slab::{HOME_OFFSET, Slab};
use crate::policy::huge;

pub(crate) mod by_run;
mod dense;
pub(crate) mod index;
mod map;
mod purge;
mod runs;
mod survey;
mod units;

pub(crate) use dense::Blocks;
pub(crate) use map::{are_many, count};
pub(crate) use purge::give_back;
pub(crate) use runs::Units;
pub(crate) use survey::UnitState;

/// A chunk that is mapped for as long as the reference is used, although not for ever.
///
/// The depot unmaps a chunk after it has taken it off its list and out of the index under its lock,
/// and only one without slabs. So a reference is good
///
/// - under the depot's lock, if it comes from a list or the index;
/// - without the lock, while a slab or a purge of the holder has a unit of the chunk, or the chunk
///   is pinned on account of the holder's heap;
/// - for the thread that has taken the chunk off its list, until that unmaps it.
///
/// Chunks of a first-class heap are mapped for as long as the heap is.
pub(crate) type ChunkRef = &'static Chunk;

/// What is known of free units' pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// They read as zero, and none is resident.
    Clean,
    /// They may be resident, and hold anything.
    Dirty,
}

/// Whether huge pages back a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Backing {
    /// Not by the allocator's advice.
    Plain = 0,
    /// By its advice. Pages that were never touched may be resident, too.
    Huge,
    /// By its advice, until pages were given back from the middle. Some huge pages may be left.
    Split,
}

/// A chunk's header, which lies over the record of its first unit.
///
/// | offset | field | written by |
/// | --- | --- | --- |
/// | 0 | `free` | owner |
/// | 8 | `dirty` | owner |
/// | 16 | `stale` | owner |
/// | 24 | `due_ms` | depot |
/// | 32, 40 | `next`, `previous` | `by_run` |
/// | 48 | `next_due` | depot |
/// | 56, 57 | `planned`, `pinned` | depot |
/// | 58 | `mapped` | nobody after `init` |
/// | 59 | `longest` | owner |
/// | 60 | `backing` | owner |
/// | 64 | `no_home` | nobody: null |
/// | 72 | `reserved` | nobody: zero |
/// | 112 | `full` | the owners of slabs, a bit each |
/// | 120 | `purging` | depot |
///
/// The owner is who holds the depot's lock, or who alone knows of the chunk. In a first-class heap
/// it is who holds the heap.
///
/// `stale ⊆ dirty ⊆ free`, and `free ∩ purging = ∅` but for a moment as a run comes back.
///
/// As a slab's record it has no home, so a wrong free into the header is found by the check that
/// every free makes.
#[repr(C, align(128))]
pub(crate) struct Chunk {
    /// Units in no slab.
    free: Cell<Units>,
    /// Free units whose pages may be resident; the others read as zero.
    dirty: Cell<Units>,
    /// Units that were dirty at the last purge tick already: the next tick purges them.
    stale: Cell<Units>,
    /// When the chunk's next purge tick is due.
    pub(crate) due_ms: Cell<u64>,
    /// Neighbours on the list of chunks with the same longest run.
    pub(crate) next: Cell<*const Chunk>,
    pub(crate) previous: Cell<*const Chunk>,
    /// The next chunk in the purge queue.
    pub(crate) next_due: Cell<*const Chunk>,
    /// Whether the chunk is in the purge queue.
    pub(crate) planned: Cell<bool>,
    /// Whether a thread may be about to read a record of it, although none of its slabs is that
    /// thread's: see the depot's `pin`.
    pub(crate) pinned: Cell<bool>,
    /// Units mapped, the header's included; fewer than [`UNITS`] where memory was short.
    mapped: Cell<u8>,
    /// Length of the longest run of free units.
    longest: Cell<u8>,
    backing: Cell<Backing>,
    /// Lies over a slab's `home`.
    no_home: *const (),
    reserved: [usize; 5],
    /// Units of slabs that are full, as far as their heaps say so. Without the lock: each bit is
    /// written by the owner of its slab.
    full: AtomicU64,
    /// Units that a purge has taken out and will bring back.
    purging: Cell<Units>,
}

const_assert!(size_of::<Chunk>() == RECORD_BYTES && offset_of!(Chunk, no_home) == HOME_OFFSET);
const_assert!(offset_of!(Chunk, due_ms) == 24 && offset_of!(Chunk, planned) == 56);
const_assert!(offset_of!(Chunk, full) == 112 && offset_of!(Chunk, purging) == 120);

/// The record of the unit that `address` lies in. Plain arithmetic: the caller knows whether there
/// is a chunk.
#[inline(always)]
pub(crate) fn record_at(address: usize) -> *const Slab {
    const SHIFT: u32 = UNIT_BYTES.ilog2() - RECORD_BYTES.ilog2();
    let record = (address >> SHIFT) & ((UNITS - 1) * RECORD_BYTES);
    ptr::with_exposed_provenance((address & !(CHUNK_BYTES - 1)).wrapping_add(record))
}

/// Whether `address` would lie in a chunk's header unit.
pub(crate) fn is_header(address: usize) -> bool {
    address % CHUNK_BYTES < UNIT_BYTES
}

/// The chunk of a slab.
pub(crate) fn chunk_of(slab: &Slab) -> ChunkRef {
    let base = align_down(ptr::from_ref(slab).addr(), CHUNK_BYTES);
    // SAFETY: records lie in the header of their chunk, which is mapped while one is referred to.
    unsafe { Chunk::at(base) }
}

fn bytes_of(units: u32) -> usize {
    (units as usize).wrapping_mul(UNIT_BYTES)
}

impl Chunk {
    /// Makes `mapped` units from `start` on a chunk, whose first `header` units slabs cannot have.
    ///
    /// # Safety
    /// The memory begins on a multiple of `CHUNK_BYTES`, is its owner's for as long as the chunk
    /// is referred to, and the header's records read as zero.
    pub(crate) unsafe fn init(start: NonNull<u8>, mapped: usize, header: usize) -> ChunkRef {
        // SAFETY: the header is as long as that, and zero is a valid one.
        let chunk = unsafe { start.cast::<Self>().as_ref() };
        chunk.mapped.set(mapped as u8);
        chunk.free.set((Units::MAX >> (UNITS.wrapping_sub(mapped))) & (Units::MAX << header));
        chunk.measure();
        chunk
    }

    /// The chunk at `base`.
    ///
    /// # Safety
    /// A chunk is mapped there, and stays mapped as [`ChunkRef`] says.
    pub(crate) unsafe fn at(base: usize) -> ChunkRef {
        // SAFETY: forwarded to the caller.
        unsafe { &*ptr::with_exposed_provenance(base) }
    }

    /// Address of the header, which is the chunk's first.
    pub(crate) fn base(&self) -> usize {
        ptr::from_ref(self).addr()
    }

    /// Units mapped, the header's included.
    pub(crate) fn mapped_units(&self) -> u8 {
        self.mapped.get()
    }

    /// Bytes mapped, the header's included.
    pub(crate) fn mapped_bytes(&self) -> usize {
        bytes_of(u32::from(self.mapped.get()))
    }

    /// The record of a unit, below [`UNITS`].
    fn record(&'static self, unit: u32) -> &'static Slab {
        // SAFETY: the header has a record for each unit below 64, and zeroes are a record.
        unsafe { &*ptr::from_ref(self).byte_add((unit as usize).wrapping_mul(RECORD_BYTES)).cast() }
    }

    /// Whether a huge page may back some of it.
    pub(crate) fn may_be_huge(&self) -> bool {
        self.backing.get() != Backing::Plain
    }

    /// Whether it has huge pages because short blocks fill it. A page of a long block may never be
    /// touched.
    pub(crate) fn is_for_short(&self) -> bool {
        self.backing.get() == Backing::Huge && huge::are_adaptive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_come_back_dirty_and_are_purged_after_two_ticks() {
        let chunk = Chunk::map(3, Blocks::Long, |_| false).expect("a chunk");
        assert!(chunk.is_unused() && !chunk.is_dirty());
        let (slab, zero) = chunk.take(3).expect("a run");
        assert!(zero && !chunk.is_unused());
        assert_eq!(chunk.longest(), UNITS - 4);
        chunk.put_units(0b1110, State::Dirty);
        assert_eq!(slab.base(), chunk.base() + UNIT_BYTES);
        assert!(chunk.is_dirty() && chunk.take_stale(UNITS).is_none());
        chunk.age();
        let run = chunk.take_stale(UNITS).expect("a stale run");
        assert_eq!((run.units, run.bytes), (0b1110, 3 * UNIT_BYTES));
        assert_eq!(run.purge(), State::Clean);
        chunk.put_units(run.units, State::Clean);
        assert!(chunk.is_unused() && !chunk.is_dirty());
        // SAFETY: nobody else knows of the chunk.
        assert!(unsafe { chunk.unmap() });
    }
}
