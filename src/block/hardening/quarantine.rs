//! Where freed blocks of a slab wait before they are handed out again.

use super::ON;
use crate::block::free_list::{Block, FreeList};

/// Freed blocks of a slab that are handed out only once the slab has no others. The default build
/// has the field, so that both builds have one slab record, and nothing is ever on the list.
pub(crate) struct Quarantine(FreeList);

impl Quarantine {
    pub(crate) const fn new() -> Self {
        Self(FreeList::new())
    }

    /// The list that takes freed blocks: this one, or `free` without quarantine.
    #[inline(always)]
    pub(crate) fn or<'list>(&'list self, free: &'list FreeList) -> &'list FreeList {
        if ON { &self.0 } else { free }
    }

    /// A block that [`FreeList::pop`] did not give: the last one of `free`, or one from quarantine.
    #[inline(always)]
    pub(crate) fn pop_rest(&self, free: &FreeList) -> Option<Block> {
        if ON { self.pop_rest_slow(free) } else { None }
    }

    #[cold]
    #[inline(never)]
    fn pop_rest_slow(&self, free: &FreeList) -> Option<Block> {
        if free.is_empty() {
            // No write where there is no block: heaps without slabs share an empty record.
            if self.0.is_empty() {
                return None;
            }
            free.take(&self.0);
        }
        free.pop_last()
    }

    /// The list of blocks in quarantine; none without quarantine.
    #[inline(always)]
    pub(crate) fn list(&self) -> Option<&FreeList> {
        if ON { Some(&self.0) } else { None }
    }
}
