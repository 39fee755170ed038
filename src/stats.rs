//! Where memory is: what the allocator knows of itself, counted from its records.

use core::fmt;

use crate::chunk::UnitState;
use crate::config::UNIT_BYTES;
use crate::depot;
use crate::large;
use crate::meta;
use crate::size_class::{CLASSES, Class};

/// A snapshot of the allocator's books. Taken while other threads allocate, it is a moment's
/// impression, each figure for itself; taken while none does, it is exact. Bytes throughout.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// Blocks that callers hold or that are on their way back, rounded as they are allocated:
    /// to their size class, or to the OS page for large allocations.
    pub allocated: usize,
    /// Of those, large allocations.
    pub large: usize,
    /// How many large allocations there are.
    pub large_count: usize,
    /// Address space of slabs, used or not.
    pub slabs: usize,
    /// Free units of chunks whose pages may be resident.
    pub dirty: usize,
    /// Free units of chunks without a resident page.
    pub clean: usize,
    /// Freed large ranges that wait for reuse.
    pub retained: usize,
    /// The allocator's own records: chunk headers, heaps, tables.
    pub metadata: usize,
    /// Address space mapped: slabs, free units, large allocations, retained ranges, records.
    pub mapped: usize,
    /// Given back by purges, since the start.
    pub purged_total: u64,
    /// Copied by large `realloc`s because the kernel refused to move pages, since the start.
    pub copied_total: u64,
    /// Address space lost because the kernel refused to unmap it, since the start.
    pub stranded_total: u64,
    classes: [ClassStats; CLASSES],
}

/// The books of one size class.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct ClassStats {
    /// Bytes of a block.
    pub block: usize,
    /// Blocks that callers hold or that are on their way back.
    pub used: usize,
    /// Blocks that its slabs have room for.
    pub capacity: usize,
    /// Slabs.
    pub slabs: usize,
}

impl Stats {
    /// The size classes that have slabs, smallest first.
    pub fn classes(&self) -> impl Iterator<Item = &ClassStats> {
        self.classes.iter().filter(|class| class.slabs != 0)
    }
}

/// Counts what is allocated, kept and mapped. Walks the records of every slab: a few
/// microseconds for a small program, about a millisecond a gigabyte.
#[must_use]
pub fn stats() -> Stats {
    let large = large::survey();
    let mut stats = Stats {
        allocated: large.live_bytes,
        large: large.live_bytes,
        large_count: large.live,
        slabs: 0,
        dirty: 0,
        clean: 0,
        retained: large.retained_bytes,
        metadata: meta::mapped_bytes().wrapping_add(large.table_bytes),
        mapped: 0,
        purged_total: depot::purged_bytes(),
        copied_total: large::copied_bytes(),
        stranded_total: large::stranded_bytes(),
        classes: [ClassStats::default(); CLASSES],
    };
    depot::survey(|unit| stats.count(unit));
    stats.mapped = [stats.slabs, stats.dirty, stats.clean, stats.large, stats.retained, stats.metadata]
        .into_iter()
        .fold(0, usize::wrapping_add);
    stats
}

impl Stats {
    fn count(&mut self, unit: UnitState) {
        match unit {
            UnitState::Header => self.metadata = self.metadata.wrapping_add(UNIT_BYTES),
            UnitState::Dirty => self.dirty = self.dirty.wrapping_add(UNIT_BYTES),
            UnitState::Clean => self.clean = self.clean.wrapping_add(UNIT_BYTES),
            // Inside a slab whose first unit was counted, or between owners.
            UnitState::Taken => self.slabs = self.slabs.wrapping_add(UNIT_BYTES),
            UnitState::Slab(slab) => {
                self.slabs = self.slabs.wrapping_add(UNIT_BYTES);
                let (class, used) = (slab.class(), slab.used() as usize);
                self.allocated = self.allocated.wrapping_add(used.wrapping_mul(slab.block_bytes()));
                if let Some(books) = self.classes.get_mut(class.index()) {
                    books.count(class, used);
                }
            }
        }
    }
}

impl ClassStats {
    fn count(&mut self, class: Class, used: usize) {
        let shape = class.shape();
        self.block = shape.block as usize;
        self.used = self.used.wrapping_add(used);
        self.capacity = self.capacity.wrapping_add(shape.capacity as usize);
        self.slabs = self.slabs.wrapping_add(1);
    }
}

/// Bytes as kibibytes.
struct Kib(usize);

impl fmt::Display for Kib {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>12} KiB", self.0 / 1024)
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "allocated {}", Kib(self.allocated))?;
        writeln!(f, "  large   {} in {}", Kib(self.large), self.large_count)?;
        writeln!(f, "mapped    {}", Kib(self.mapped))?;
        writeln!(f, "  slabs   {}", Kib(self.slabs))?;
        writeln!(f, "  dirty   {}", Kib(self.dirty))?;
        writeln!(f, "  clean   {}", Kib(self.clean))?;
        writeln!(f, "  retained{}", Kib(self.retained))?;
        writeln!(f, "  metadata{}", Kib(self.metadata))?;
        writeln!(f, "purged    {} so far", Kib(self.purged_total as usize))?;
        writeln!(f, "copied    {} so far", Kib(self.copied_total as usize))?;
        writeln!(f, "stranded  {} so far", Kib(self.stranded_total as usize))?;
        writeln!(f, "{:>10} {:>10} {:>10} {:>8}", "block", "used", "capacity", "slabs")?;
        for class in self.classes() {
            writeln!(f, "{:>10} {:>10} {:>10} {:>8}", class.block, class.used, class.capacity, class.slabs)?;
        }
        Ok(())
    }
}
