//! What a chunk's units are, for statistics, pictures and `describe`.

use super::runs::run_mask;
use super::units::units_of;
use super::{Chunk, Units};
use crate::base::atomic::Ordering;
use crate::memory::slab::Slab;

/// How many of a chunk's units are mapped and free.
pub(crate) struct Parts {
    /// All that are mapped, the header's included.
    pub(crate) mapped: u32,
    /// Free, in the [`State`](super::State) of that name.
    pub(crate) clean: u32,
    pub(crate) dirty: u32,
}

/// What a unit is.
#[derive(Clone, Copy)]
pub(crate) enum UnitState {
    Header,
    /// Free, in the [`State`](super::State) of that name, as the next.
    Clean,
    Dirty,
    /// The first of a slab.
    Slab(&'static Slab),
    /// Another one of a slab, or one that is between slab and chunk.
    Taken,
}

impl Chunk {
    /// Calls `each` with every mapped unit. Under the depot's lock: no unit is taken or comes back
    /// meanwhile.
    pub(crate) fn survey(&'static self, mut each: impl FnMut(UnitState)) {
        for unit in 0..u32::from(self.mapped.get()) {
            each(self.unit_state(unit));
        }
    }

    /// Counts units, and calls `each` with every slab that has room. Full slabs are counted by
    /// their heaps (`heap/tally`), so a chunk of full slabs is one word to read. Under the depot's
    /// lock.
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
