//! Pages inside the free blocks of a slab that nobody has used since the last purge tick.

use core::ptr::{self, NonNull};

use super::Slab;
use super::carve::Uncarved;
use crate::base::address::{align_down, align_up};
use crate::base::config::UNIT_BYTES;
use crate::block::free_list::{self, LINK_BYTES};
use crate::block::hardening::CANARY_BYTES;
use crate::os;

/// What happened to a slab's free blocks since the last purge tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SinceTick {
    /// Some were handed out, or came back.
    Changed,
    Unchanged,
    /// Nothing, and the pages inside them were given back before.
    Purged,
}

/// Set in the record's `last_tick` where the pages inside were given back.
const PURGED: u64 = 1;

impl Slab {
    /// What happened to the free blocks since the last call. For the owner. Their number and the
    /// first of them are compared: where both are the same, changes have gone unseen, and cost page
    /// faults.
    pub(crate) fn since_last_tick(&self) -> SinceTick {
        // The last block that came back.
        let first = self.quarantine.or(&self.free).head();
        let now = u64::from(self.offset_of(first)) << u32::BITS | u64::from(self.used()) << 1;
        match self.last_tick.get() {
            same if same == now => SinceTick::Unchanged,
            same if same == now | PURGED => SinceTick::Purged,
            _ => {
                self.last_tick.set(now);
                SinceTick::Changed
            }
        }
    }

    /// Calls `each` with the whole pages that nobody needs: inside each free block, between its
    /// link and its canary, and behind the carved blocks. For the owner, after
    /// [`since_last_tick`](Self::since_last_tick).
    pub(crate) fn purge_inside(&self, mut each: impl FnMut(NonNull<u8>, usize)) {
        self.last_tick.set(self.last_tick.get() | PURGED);
        let page = os::page_bytes();
        let mut between = |from: usize, to: usize| {
            let from = align_up(from, page);
            let bytes = align_down(to, page).saturating_sub(from);
            if let Some(start) = NonNull::new(ptr::with_exposed_provenance_mut(from)).filter(|_| bytes != 0) {
                each(start, bytes);
            }
        };
        for list in self.lists_of_free() {
            let mut block = list.head();
            while !block.is_null() {
                let end = block.addr().wrapping_add(self.block_bytes());
                between(block.addr().wrapping_add(LINK_BYTES), end.wrapping_sub(CANARY_BYTES));
                // SAFETY: the block is on the list.
                block = unsafe { free_list::next_of(block) };
            }
        }
        if self.uncarved.get() != Uncarved::Untouched {
            let bytes = self.units().wrapping_mul(UNIT_BYTES);
            between(self.base().wrapping_add(self.carved_bytes()), self.base().wrapping_add(bytes));
        }
    }
}
