//! What a chunk's units are, for whoever looks on: statistics, pictures, `describe`.

use super::{Chunk, Units};
use crate::slab::Slab;

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
