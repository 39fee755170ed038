//! Pages inside the free blocks of a slab that nobody has used since the last purge tick.

use core::ptr::{self, NonNull};

use static_assertions::const_assert;

use super::absent::{self, BlockSet};
use super::carve::Uncarved;
use super::{Slab, SlabState};
use crate::base::address::{align_down, align_up};
use crate::base::atomic::in_order;
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

/// Used blocks a page up to which a page without one is likely enough to look for. Scattered
/// evenly, three a page leave one page in twenty.
const USED_A_PAGE: usize = 3;

// Where OS pages are smallest the most used blocks are those of so many pages.
const_assert!(UNIT_BYTES / 4096 * USED_A_PAGE <= i8::MAX as usize);

impl Slab {
    /// Used blocks up to which it may have a free page: one that no used block needs.
    fn sparse_blocks(&self) -> usize {
        let pages = self.carved_bytes().checked_div(os::page_bytes()).unwrap_or(0);
        pages.wrapping_mul(USED_A_PAGE).min(self.carved.get() as usize / 2)
    }

    /// Whether it may have a free page.
    pub(crate) fn is_sparse(&self) -> bool {
        self.block_bytes() > os::page_bytes()
            || (absent::ON && !self.feeds_bins() && self.used() as usize <= self.sparse_blocks())
    }

    /// Lets the free after which it may have a free page tell so, if it has none yet. Whether it
    /// may have one. For the owner of a slab that is no longer current. One of several units is
    /// not watched: it is in no owned-slab cache, by which helpers know what the owner looks at.
    pub(crate) fn watch(&self) -> bool {
        let is_sparse = self.is_sparse();
        if absent::ON && !is_sparse && !self.feeds_bins() && self.units() == 1 && self.sparse_blocks() != 0 {
            self.set_watched(self.sparse_blocks());
        }
        is_sparse
    }

    /// As [`watch`](Self::watch) once more, after no free page was found.
    pub(crate) fn watch_for_half(&self) {
        if self.units() == 1 {
            self.set_watched(self.used() as usize / 2);
        }
    }

    /// What happened to the free blocks since the last call. For the owner. Their number and the
    /// first of them are compared: where both are the same, changes have gone unseen, and cost page
    /// faults.
    pub(crate) fn since_last_tick(&self) -> SinceTick {
        let now = self.free_blocks_now();
        match self.last_tick.get() {
            same if same == now => SinceTick::Unchanged,
            same if same == now | PURGED => SinceTick::Purged,
            _ => {
                self.last_tick.set(now);
                SinceTick::Changed
            }
        }
    }

    fn free_blocks_now(&self) -> u64 {
        // The last block that came back.
        let first = self.quarantine.or(&self.free).head();
        u64::from(self.offset_of(first)) << u32::BITS | u64::from(self.used()) << 1
    }

    /// Calls `each` with the whole pages that nobody needs: inside and between free blocks, and
    /// behind the carved ones. It returns whether they went back. For the owner of a partial slab,
    /// under the lock of the heap's lists.
    pub(crate) fn purge_inside(&self, mut each: impl FnMut(NonNull<u8>, usize) -> bool) {
        if !absent::ON || self.feeds_bins() {
            self.purge_between_links(&mut each);
        } else {
            self.purge_free_pages(&mut each);
        }
        if self.uncarved.get() != Uncarved::Untouched {
            let _ = give(self.base().wrapping_add(self.carved_bytes()), self.end(), &mut each);
        }
        self.last_tick.set(self.free_blocks_now() | PURGED);
    }

    fn end(&self) -> usize {
        self.base().wrapping_add(self.units().wrapping_mul(UNIT_BYTES))
    }

    /// Gives back the pages inside each free block, between its link and its canary.
    fn purge_between_links(&self, each: &mut impl FnMut(NonNull<u8>, usize) -> bool) {
        for list in self.lists_of_free() {
            let mut block = list.head();
            while !block.is_null() {
                let end = block.addr().wrapping_add(self.block_bytes());
                let _ = give(block.addr().wrapping_add(LINK_BYTES), end.wrapping_sub(CANARY_BYTES), each);
                // SAFETY: the block is on the list.
                block = unsafe { free_list::next_of(block) };
            }
        }
    }

    /// Gives back the pages without a used block. Blocks whose first words lie in them are absent
    /// from now on; the free list has the others, by address.
    fn purge_free_pages(&self, each: &mut impl FnMut(NonNull<u8>, usize) -> bool) {
        let carved = self.carved.get() as usize;
        let mut listed = self.take_list();
        let mut free = self.absent_set();
        (0..carved).filter(|index| listed.contains(*index)).for_each(|index| free.insert(index));
        for (first, behind) in free.runs(carved) {
            let start = |index| self.base().wrapping_add(self.offset_at(index) as usize);
            // Behind the last carved block nothing is used either.
            let end = if behind == carved { self.end() } else { start(behind) };
            let (from, to) = pages(start(first), end);
            let is_new = || {
                self.is_inherited()
                    || self.has_resident_absent()
                    || (first..behind).any(|index| listed.contains(index))
            };
            if from == to || !is_new() {
                continue;
            }
            if !give(from, to, each) {
                continue;
            }
            let has_words_inside = |index: &usize| {
                let words = start(*index);
                words < to && words.wrapping_add(LINK_BYTES) > from
            };
            for index in (first..behind).filter(has_words_inside) {
                self.set_absent(index);
                listed.remove(index);
            }
        }
        let kept = (0..carved).rev().filter(|index| listed.contains(*index));
        self.free.push_all(kept.map(|index| self.block_at(self.offset_at(index))));
        // Whoever frees a block from now on has written to its page, as a rule.
        self.set_own();
        self.forget_resident_absent();
        if self.has_absent() {
            self.move_to(SlabState::Purged);
        }
    }

    /// Empties the free list.
    fn take_list(&self) -> BlockSet {
        let mut listed = BlockSet::new();
        let mut block = self.free.head();
        self.free.clear();
        // A forked child, if it sees anything of what follows, sees no list: it loses blocks.
        in_order();
        while !block.is_null() {
            listed.insert(self.index_at(block.addr()));
            // SAFETY: the block was on the list.
            block = unsafe { free_list::next_of(block) };
        }
        listed
    }

    fn absent_set(&self) -> BlockSet {
        let mut set = BlockSet::new();
        if self.has_absent() {
            let carved = self.carved.get() as usize;
            (0..carved).filter(|index| self.is_absent_at(*index)).for_each(|index| set.insert(index));
        }
        set
    }
}

/// The whole pages between two addresses, as a beginning and an end; equal where there is none.
fn pages(from: usize, to: usize) -> (usize, usize) {
    let page = os::page_bytes();
    let from = align_up(from, page);
    (from, align_down(to, page).max(from))
}

/// Calls `each` with the whole pages between two addresses, if there is one. What it returned.
fn give(from: usize, to: usize, each: &mut impl FnMut(NonNull<u8>, usize) -> bool) -> bool {
    let (from, to) = pages(from, to);
    let start = NonNull::new(ptr::with_exposed_provenance_mut(from)).filter(|_| from != to);
    start.is_some_and(|start| each(start, to.wrapping_sub(from)))
}
