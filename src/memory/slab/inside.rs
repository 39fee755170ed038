//! Pages inside the free blocks of a slab that rests.

use core::ptr::{self, NonNull};

use super::{Beyond, Slab};
use crate::base::address::{align_down, align_up};
use crate::base::config::UNIT_BYTES;
use crate::block::free_list::{self, LINK_BYTES};
use crate::block::hardening::SEAL_BYTES;
use crate::os;

/// What became of a slab's free blocks meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SinceLook {
    /// Some were used, or came back.
    Changed,
    Unchanged,
    /// Nothing, and the pages inside them were given back before.
    Hollow,
}

/// Set in what [`Slab::rest`] saw where the pages were given back.
const HOLLOW: u64 = 1;

impl Slab {
    /// What became of the free blocks since this was last asked, as far as their number and the first of them
    /// tell. For the owner.
    pub(crate) fn rest(&self) -> SinceLook {
        // The last block that came back.
        let first = self.freed.or(&self.free).head();
        let now = u64::from(self.place_of(first)) << u32::BITS | u64::from(self.used()) << 1;
        match self.unchanged_mark.get() {
            same if same == now => SinceLook::Unchanged,
            same if same == now | HOLLOW => SinceLook::Hollow,
            _ => {
                self.unchanged_mark.set(now);
                SinceLook::Changed
            }
        }
    }

    /// Calls `each` with the whole pages that nobody needs: inside each free block, beyond what links it to the
    /// next, and behind the last block. For the owner, after [`rest`](Self::rest).
    pub(crate) fn purge_inside(&self, mut each: impl FnMut(NonNull<u8>, usize)) {
        self.unchanged_mark.set(self.unchanged_mark.get() | HOLLOW);
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
                between(block.addr().wrapping_add(LINK_BYTES), end.wrapping_sub(SEAL_BYTES));
                // SAFETY: the block is on the list.
                block = unsafe { free_list::next_of(block) };
            }
        }
        if self.beyond.get() != Beyond::Untouched {
            let bytes = self.units().wrapping_mul(UNIT_BYTES);
            between(self.base().wrapping_add(self.carved_bytes()), self.base().wrapping_add(bytes));
        }
    }
}
