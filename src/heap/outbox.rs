//! Remote frees of one thread, gathered by slab: a batch costs one atomic operation.

use core::cell::Cell;
use core::ptr;

use super::shared;
use crate::base::config::{RECORD_BYTES, REMOTE_BATCH_BLOCKS, REMOTE_BATCH_BYTES, REMOTE_SLOTS};
use crate::block::free_list::{self, Block};
use crate::memory::slab::Slab;
use crate::os::fatal;

/// A chain of blocks of one slab, newest first. Publication writes the last link.
struct Slot {
    /// Null where the slot is empty.
    slab: Cell<*const Slab>,
    first: Cell<*mut u8>,
    last: Cell<*mut u8>,
    blocks: Cell<u32>,
}

/// A direct-mapped table from slab to chain. One thread's own.
pub(super) struct Outbox([Slot; REMOTE_SLOTS]);

impl Outbox {
    pub(super) const fn new() -> Self {
        Self([const { Slot::empty() }; REMOTE_SLOTS])
    }

    /// Adds a block to the chain of its slab. False where it was freed before.
    ///
    /// # Safety
    /// The caller gives up the block, a used one of `slab`.
    pub(super) unsafe fn put(&self, slab: &'static Slab, mut block: Block) -> bool {
        let index = (ptr::from_ref(slab).addr() / RECORD_BYTES) % REMOTE_SLOTS;
        let Some(slot) = self.0.get(index) else { return false };
        if !ptr::eq(slot.slab.get(), slab) {
            slot.publish();
            slot.slab.set(slab);
        }
        // SAFETY: the token says that the block is readable.
        if unsafe { free_list::looks_free(block.address() as *const u8) } {
            if slot.holds(block.address()) {
                fatal::caught("double free", block.address());
                return false;
            }
            block = match slab.defer_check(block) {
                Ok(announced_to) => {
                    shared::collect_if_shared(announced_to);
                    return true;
                }
                Err(block) => block,
            };
        }
        let blocks = slot.blocks.get().wrapping_add(1);
        block.link(slot.first.get());
        let start = block.into_raw().as_ptr();
        if blocks == 1 {
            slot.last.set(start);
        }
        slot.first.set(start);
        slot.blocks.set(blocks);
        if blocks as usize >= REMOTE_BATCH_BLOCKS
            || (blocks as usize).wrapping_mul(slab.block_bytes()) >= REMOTE_BATCH_BYTES
        {
            slot.publish();
        }
        true
    }

    /// Publishes everything.
    pub(super) fn publish_all(&self) {
        for slot in &self.0 {
            slot.publish();
        }
    }
}

impl Slot {
    const fn empty() -> Self {
        Self {
            slab: Cell::new(ptr::null()),
            first: Cell::new(ptr::null_mut()),
            last: Cell::new(ptr::null_mut()),
            blocks: Cell::new(0),
        }
    }

    fn publish(&self) {
        let blocks = self.blocks.replace(0);
        let slab = self.slab.replace(ptr::null());
        let first = self.first.replace(ptr::null_mut());
        if blocks == 0 {
            return;
        }
        // SAFETY: the slab has used blocks, these, so it is open; the chain is this slot's.
        shared::collect_if_shared(unsafe { (*slab).publish(first, self.last.get(), blocks) });
    }

    fn holds(&self, address: usize) -> bool {
        let mut block = self.first.get();
        for _ in 0..self.blocks.get() {
            if block.addr() == address {
                return true;
            }
            // SAFETY: the chain has `blocks` linked blocks.
            block = unsafe { free_list::next_of(block) };
        }
        false
    }
}
