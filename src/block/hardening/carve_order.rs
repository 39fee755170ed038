//! The order in which new blocks of a slab are linked.

use core::cell::Cell;

use super::ON;
use crate::block::secret::Draws;

/// Most blocks that have a random order; in the default build none has.
const SHUFFLED: usize = if ON { 256 } else { 0 };

/// The order in which blocks are linked as they are carved: random in the `secure` build, so that
/// nobody can predict which blocks become neighbours in time; by address in the default build.
pub(crate) struct CarveOrder {
    blocks: u32,
    indices: [Cell<u8>; SHUFFLED],
}

impl CarveOrder {
    /// An order of at most `blocks`: all of them in the default build.
    #[inline(always)]
    pub(crate) fn of(blocks: u32) -> Self {
        if ON {
            return Self::shuffled(blocks.min(SHUFFLED as u32));
        }
        Self { blocks, indices: [const { Cell::new(0) }; SHUFFLED] }
    }

    fn shuffled(blocks: u32) -> Self {
        let order = Self { blocks, indices: [const { Cell::new(0) }; SHUFFLED] };
        let mut draws = Draws::new();
        // Fisher and Yates, inside out.
        for (nth, index) in order.indices.iter().enumerate().take(blocks as usize) {
            index.set(nth as u8);
            if let Some(other) = order.indices.get(draws.up_to(nth)) {
                index.swap(other);
            }
        }
        order
    }

    /// How many blocks are in the order.
    #[inline(always)]
    pub(crate) fn blocks(&self) -> u32 {
        self.blocks
    }

    /// The index, by address, of the `nth` block in the order.
    #[inline(always)]
    pub(crate) fn index(&self, nth: usize) -> usize {
        self.indices.get(nth).map_or(nth, |index| usize::from(index.get()))
    }
}
