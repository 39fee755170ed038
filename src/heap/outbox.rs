//! Remote frees of one thread, gathered by slab: a batch costs one atomic operation.

use core::cell::Cell;
use core::ptr;

use static_assertions::const_assert;

use super::shared;
use super::tally::Tally;
use crate::base::atomic::{AtomicU8, AtomicU32, Seen};
use crate::base::config::{RECORD_BYTES, REMOTE_BATCH_BLOCKS, REMOTE_BATCH_BYTES, REMOTE_SLOTS};
use crate::block::free_list::{self, Block};
use crate::block::size_class::Class;
use crate::memory::slab::Slab;
use crate::os::fatal;

/// A chain of blocks of one slab, newest first. Publication writes the last link.
///
/// The slab's record is read once a batch: its line is the one that other threads publish to.
struct Slot {
    /// Null where the slot is empty.
    slab: Cell<*const Slab>,
    first: Cell<*mut u8>,
    last: Cell<*mut u8>,
    /// Blocks in the chain. Statistics read it.
    blocks: Seen<AtomicU32>,
    /// Blocks with which the chain is published.
    batch: Cell<u16>,
    /// The slab's class. Statistics read it.
    class: Seen<AtomicU8>,
}

const_assert!(size_of::<Slot>() == 32 && REMOTE_BATCH_BLOCKS <= u16::MAX as usize);

/// A direct-mapped table from slab to chain. One thread's own.
pub(super) struct Outbox([Slot; REMOTE_SLOTS]);

impl Outbox {
    pub(super) const fn new() -> Self {
        Self([const { Slot::empty() }; REMOTE_SLOTS])
    }

    /// Adds a block to the chain of its slab. `tally` counts what is published.
    ///
    /// # Safety
    /// The caller gives up the block, a used one of `slab`.
    #[inline]
    pub(super) unsafe fn put(&self, slab: &'static Slab, block: Block, tally: &Tally) {
        let index = (ptr::from_ref(slab).addr() / RECORD_BYTES) % REMOTE_SLOTS;
        let Some(slot) = self.0.get(index) else { return };
        if !ptr::eq(slot.slab.get(), slab) {
            slot.begin(slab, tally);
        }
        // SAFETY: the token says that the block is readable.
        if unsafe { free_list::looks_free(block.address() as *const u8) } {
            return slot.add_suspect(slab, block, tally);
        }
        slot.add(block, tally);
    }

    /// The blocks that are not published, by class. Any thread may ask.
    pub(super) fn pending(&self) -> impl Iterator<Item = (Class, u32)> {
        self.0.iter().filter_map(|slot| Some((Class::at(slot.class.get().into())?, slot.blocks.get())))
    }

    /// Publishes everything.
    pub(super) fn publish_all(&self, tally: &Tally) {
        for slot in &self.0 {
            slot.publish(tally);
        }
    }
}

impl Slot {
    const fn empty() -> Self {
        Self {
            slab: Cell::new(ptr::null()),
            first: Cell::new(ptr::null_mut()),
            last: Cell::new(ptr::null_mut()),
            blocks: Seen::<AtomicU32>::new(0),
            batch: Cell::new(0),
            class: Seen::<AtomicU8>::new(0),
        }
    }

    /// Adds a block to the chain.
    #[inline]
    fn add(&self, block: Block, tally: &Tally) {
        let blocks = self.blocks.get().wrapping_add(1);
        block.link(self.first.get());
        let start = block.into_raw().as_ptr();
        if blocks == 1 {
            self.last.set(start);
        }
        self.first.set(start);
        self.blocks.set(blocks);
        if blocks >= self.batch.get().into() {
            self.publish(tally);
        }
    }

    /// Adds a block that looks free already, unless it is in the chain. The slab's owner checks
    /// whether it is on the free list.
    #[cold]
    #[inline(never)]
    fn add_suspect(&self, slab: &'static Slab, block: Block, tally: &Tally) {
        if self.holds(block.address()) {
            return fatal::caught("double free", block.address());
        }
        match slab.defer_check(block) {
            Ok(announced_to) => {
                self.count(tally, 1);
                shared::collect_if_shared(announced_to);
            }
            Err(block) => self.add(block, tally),
        }
    }

    /// Begins a chain of blocks of `slab`, after the one before it is published.
    #[inline(never)]
    fn begin(&self, slab: &'static Slab, tally: &Tally) {
        self.publish(tally);
        let bytes = slab.block_bytes();
        self.batch.set(REMOTE_BATCH_BYTES.div_ceil(bytes.max(1)).min(REMOTE_BATCH_BLOCKS) as u16);
        self.class.set(slab.class().index() as u8);
        self.slab.set(slab);
    }

    /// Counts blocks that leave. By the slot's class: once the last used block of a slab is
    /// published, its record may be another slab's.
    fn count(&self, tally: &Tally, blocks: u32) {
        if let Some(class) = Class::at(self.class.get().into()) {
            tally.sent(class, blocks);
        }
    }

    #[inline(never)]
    fn publish(&self, tally: &Tally) {
        let blocks = self.blocks.get();
        let slab = self.slab.replace(ptr::null());
        let first = self.first.replace(ptr::null_mut());
        if blocks == 0 {
            return;
        }
        self.count(tally, blocks);
        self.blocks.set(0);
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
