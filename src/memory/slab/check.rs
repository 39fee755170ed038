//! What is checked of a block that its caller gives up, and the slab's equation in debug builds.
//!
//! `block::hardening` checks one block, and is told its length and its offset here. In the default
//! build these steps are nothing, but for [`Slab::is_listed`].

use core::alloc::Layout;

use super::Slab;
#[cfg(debug_assertions)]
use crate::block::free_list;
use crate::block::free_list::FreeList;
use crate::block::hardening::{self, Key};
#[cfg(debug_assertions)]
use crate::os::fatal;

impl Slab {
    /// The key of the block at `start`, at that offset, which is about to be freed; none where a
    /// check fails. In the `secure` build the block's canary says *free* afterwards, so that of two
    /// threads that free it at once one is refused. `layout`: what the caller says it is.
    #[inline(always)]
    pub(crate) fn check_fast(&self, start: *const u8, offset: usize, layout: Option<Layout>) -> Option<Key> {
        if !hardening::ON {
            return Some(Key::of(start));
        }
        // SAFETY: a carved block of the slab begins at `start`, as the callers have seen.
        unsafe { hardening::check_fast(start, self.block_bytes(), offset, layout) }
    }

    /// As [`check_fast`](Self::check_fast), or what is wrong with the block.
    #[cold]
    pub(crate) fn check_or_diagnose(
        &self,
        start: *const u8,
        layout: Option<Layout>,
    ) -> Result<Key, &'static str> {
        match self.diagnose(start, layout) {
            Some(fault) => Err(fault),
            // None: another thread has freed the block meanwhile.
            None => {
                let offset = start.addr().wrapping_sub(self.base());
                self.check_fast(start, offset, layout).ok_or(hardening::TWICE)
            }
        }
    }

    /// What is wrong with the block at `start`, if anything is. `layout`: what the caller says it
    /// is.
    pub(crate) fn diagnose(&self, start: *const u8, layout: Option<Layout>) -> Option<&'static str> {
        if !hardening::ON {
            return None;
        }
        // SAFETY: a carved block of the slab begins at `start`, as the callers have seen.
        unsafe { hardening::diagnose(start, self.class(), start.addr().wrapping_sub(self.base()), layout) }
    }

    /// Bytes of the blocks, for [`hardening::clear_for_list`]; zero in the default build, which
    /// does not clear, so that no field is read.
    #[inline(always)]
    pub(crate) fn cleared_block_bytes(&self) -> usize {
        if hardening::ON { self.block_bytes() } else { 0 }
    }

    /// Whether the block at `address`, which looks free, is free. For the owner. In the default
    /// build data may look like the mark of a free block, so the free list answers, by its notes.
    pub(crate) fn is_listed(&self, address: usize) -> bool {
        #[cfg(not(feature = "secure"))]
        return self.is_listed_by_notes(address);
        #[cfg(feature = "secure")]
        return self.is_free_by_walk(address);
    }

    /// Whether the block at `address` is free. For the owner. Walks the lists, and writes nothing.
    pub(crate) fn is_free_by_walk(&self, address: usize) -> bool {
        // SAFETY: every block on the lists is free.
        let lists = |list: &FreeList| unsafe { list.contains(address, self.available() as usize) };
        self.is_absent(address) || self.lists_of_free().any(lists)
    }

    /// Recomputes `used + free = carved ≤ capacity`. For debug builds and tests.
    #[cfg(debug_assertions)]
    pub(crate) fn check(&self) {
        if self.carved.get() > self.capacity.get() || self.used() > self.carved.get() {
            fatal::broken("used ≤ carved ≤ capacity");
        }
        let mut listed: u32 = 0;
        for list in self.lists_of_free() {
            let mut block = list.head();
            while !block.is_null() && listed <= self.listed() {
                if !self.has_block_at(block.addr()) {
                    fatal::broken("every free block begins where a block begins");
                }
                listed = listed.wrapping_add(1);
                // SAFETY: the block is on the list.
                block = unsafe { free_list::next_of(block) };
            }
        }
        if listed != self.listed() {
            fatal::broken("used + free = carved");
        }
    }
}
