//! What a chunk's units are, for whoever looks on: statistics, pictures, `describe`.

use super::{Chunk, Units, run_mask, units_of};
use crate::base::atomic::Ordering;
use crate::memory::slab::Slab;

/// How many units of a chunk are what.
pub(crate) struct Parts {
    /// All that are mapped, the header's included.
    pub(crate) mapped: u32,
    /// Free, and as [`State`](super::State) says.
    pub(crate) clean: u32,
    pub(crate) dirty: u32,
}

/// What a unit is, for statistics.
#[derive(Clone, Copy)]
pub(crate) enum UnitState {
    Header,
    /// Free, and as [`State`] says.
    Clean,
    Dirty,
    /// The first of a slab.
    Slab(&'static Slab),
    /// Another one of a slab, or one that is changing hands.
    Taken,
}

impl Chunk {
    /// Calls `each` with every mapped unit. Under the depot's lock, so that no unit changes
    /// between free and taken meanwhile.
    pub(crate) fn survey(&'static self, mut each: impl FnMut(UnitState)) {
        for unit in 0..u32::from(self.mapped.get()) {
            each(self.unit_state(unit));
        }
    }

    /// How many units are what, and calls `each` with every slab that has room. Slabs without are in their heaps'
    /// [tallies](crate::heap::tally), so that a chunk of them costs one look. Under the depot's lock.
    pub(crate) fn parts(&'static self, mut each: impl FnMut(&'static Slab)) -> Parts {
        let (mapped, free, dirty) = (u32::from(self.mapped.get()), self.free.get(), self.dirty.get());
        let mut rest = run_mask(0, mapped as usize) & !1 & !free & !self.full.load(Ordering::Relaxed);
        while rest != 0 {
            let record = self.record(rest.trailing_zeros());
            rest &= rest.wrapping_sub(1);
            if record.is_open() {
                each(record);
                rest &= !units_of(record);
            }
        }
        let clean = (free & !dirty).count_ones();
        Parts { mapped, clean, dirty: dirty.count_ones() }
    }

    /// What a mapped unit is. Under the depot's lock.
    pub(crate) fn unit_state(&'static self, unit: u32) -> UnitState {
        let is_in = |set: Units| set >> unit & 1 != 0;
        let record = self.record(unit);
        if unit == 0 {
            UnitState::Header
        } else if is_in(self.dirty.get()) {
            UnitState::Dirty
        } else if is_in(self.free.get()) {
            UnitState::Clean
        } else if record.is_open() {
            UnitState::Slab(record)
        } else {
            UnitState::Taken
        }
    }

    /// The slab that a unit belongs to, or belonged to last.
    pub(crate) fn slab_at(&'static self, unit: u32) -> &'static Slab {
        self.record(unit).first_unit()
    }
}
