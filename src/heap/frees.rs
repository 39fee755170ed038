//! Frees beside the fast path: into a slab in any state, to another heap, and remote frees as they
//! come in.

use core::ptr;

use super::Heap;
use crate::block::free_list::{self, Block};
use crate::memory::slab::{Occupancy, Slab, SlabList, SlabState};
use crate::os::fatal;

impl Heap {
    /// Frees a block into a slab of this heap in whatever state.
    pub(crate) fn free(&'static self, slab: &'static Slab, block: Block) {
        // SAFETY: the token says that the block is readable.
        if unsafe { free_list::looks_free(block.address() as *const u8) } {
            // Another thread may have freed it first. If it was the last used block, the slab is
            // closed now.
            self.collect();
            let lists = self.lists.lock();
            // Where a helper has given the slab to another heap, that one looks.
            let home = slab.home();
            let is_here = || slab.is_absent(block.address()) || slab.is_listed(block.address());
            let is_free = home.is_null() || (ptr::eq(home, &self.inbox) && is_here());
            drop(lists);
            if is_free {
                return fatal::caught("double free", block.address());
            }
        }
        if !slab.takes_frees_of(&self.inbox) {
            return self.free_under_lock(slab, block);
        }
        let left = slab.push(block);
        if left != Occupancy::Used {
            self.settle(slab, left);
        }
    }

    /// Frees a block into a slab that is full or purged, or was just now, unless a helper has moved
    /// it since.
    pub(super) fn free_under_lock(&'static self, slab: &'static Slab, block: Block) {
        let lists = self.lists.lock();
        if !ptr::eq(slab.home(), &self.inbox) {
            drop(lists);
            // SAFETY: the token says that the block is given up, and it was a used one of the slab.
            return unsafe { self.send(slab, block) };
        }
        if slab.is_absent(block.address()) {
            drop(lists);
            return fatal::caught("double free", block.address());
        }
        if slab.state() == SlabState::Purged {
            self.note_sparse(slab);
            self.list_resident(slab);
        }
        let left = if slab.is_inherited() { self.push_inherited(slab, block) } else { slab.push(block) };
        let emptied = self.relist(slab, left);
        drop(lists);
        if let Some(slab) = emptied {
            self.put_aside(slab);
        }
    }

    /// Frees a block into an inherited slab. For the holder of the lists' lock.
    fn push_inherited(&'static self, slab: &'static Slab, block: Block) -> Occupancy {
        if slab.state() == SlabState::Current {
            // Of a heap that the child's thread was not in.
            slab.set_own();
            return slab.push(block);
        }
        self.end_feeding(slab);
        if slab.state() == SlabState::Partial {
            let partial = self.slabs.partial(slab.class());
            partial.remove(slab);
            slab.move_to(SlabState::Purged);
            partial.push_last(slab);
        }
        if slab.push_absent(slab.index_at(block.address())) { slab.occupancy() } else { Occupancy::Used }
    }

    /// Whether the block at `address` is on the list of `slab`, or among its remote frees. None
    /// where the slab is another heap's, or the lock could not be had within a while: the caller
    /// itself may hold it.
    pub(crate) fn has_free_at(&self, slab: &Slab, address: usize) -> Option<bool> {
        let _lists = self.lists.lock_within_a_while()?;
        ptr::eq(slab.home(), &self.inbox).then(|| {
            slab.is_free_by_walk(address) || slab.is_on_remote_list(address) || self.has_binned(slab, address)
        })
    }

    /// Whether `slab` is this heap's and the block at `address` is free. For the owner.
    pub(crate) fn knows_free(&self, slab: &Slab, address: usize) -> bool {
        // SAFETY: the caller's block is readable.
        let looks_free = unsafe { free_list::looks_free(address as *const u8) };
        if !looks_free && slab.state() != SlabState::Purged {
            return false;
        }
        let _lists = self.lists.lock();
        let is_listed = || looks_free && slab.is_listed(address);
        ptr::eq(slab.home(), &self.inbox) && (slab.is_absent(address) || is_listed())
    }

    /// Frees a block into a slab of another heap: by the outbox, which publishes in batches.
    ///
    /// # Safety
    /// The caller gives up the block, a used one of `slab`.
    #[inline]
    pub(crate) unsafe fn send(&'static self, slab: &'static Slab, block: Block) {
        // SAFETY: forwarded to the caller.
        unsafe { self.outbox.put(slab, block, &self.tally) }
    }

    /// Publishes what is in the outbox, if anything is.
    pub(super) fn publish_sent(&self) {
        if self.outbox.pending().any(|(_, blocks)| blocks != 0) {
            self.outbox.publish_all(&self.tally);
        }
    }

    /// Adopts the remote frees of this heap's announced slabs.
    #[inline]
    pub(crate) fn collect(&'static self) {
        if !self.inbox.is_empty() || !self.deferred.is_empty() {
            self.collect_slow();
        }
    }

    #[cold]
    pub(super) fn collect_slow(&'static self) {
        let emptied = SlabList::new();
        let lists = self.lists.lock();
        self.inbox.clear_whole();
        let mut each = |slab| {
            if let Some(slab) = self.collect_one(slab) {
                emptied.push_last(slab);
            }
        };
        self.inbox.take_all(&mut each);
        self.deferred.take_all(&mut each);
        drop(lists);
        while let Some(slab) = emptied.pop() {
            if slab.state() == SlabState::Current { self.keep(slab) } else { self.put_aside(slab) }
        }
    }

    /// Adopts the remote frees of an announced slab. Returns an empty slab, which is on no list any
    /// more. For the holder of the lists' lock.
    pub(super) fn collect_one(&'static self, slab: &'static Slab) -> Option<&'static Slab> {
        let home = slab.home();
        if ptr::eq(home, &self.inbox) {
            let left = self.adopt(slab);
            return self.relist(slab, left);
        }
        // The slab changed its home between a publication and its announcement.
        // SAFETY: a slab with remote frees has a home, and heaps are never unmapped.
        unsafe { &*home }.announce(slab);
        None
    }

    /// Adopts the remote frees of a slab of this heap, and counts them.
    pub(super) fn adopt(&'static self, slab: &'static Slab) -> Occupancy {
        let used = slab.used();
        let left = slab.adopt();
        self.tally.adopted(slab.class(), used.wrapping_sub(slab.used()));
        left
    }
}
