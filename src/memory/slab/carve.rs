//! New blocks of a slab, and what is known of the memory they are carved from.

use core::ptr::NonNull;

use super::Slab;
use crate::base::address::align_up;
use crate::base::atomic::Ordering;
use crate::base::config::{CARVE_BLOCKS, CARVE_BYTES, CARVE_LEAST_BYTES, UNIT_BYTES};
use crate::block::free_list::Block;
use crate::block::hardening::{self, CarveOrder};
use crate::os;

/// What is known of a slab's memory behind its carved blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Uncarved {
    /// It may hold anything.
    Dirty = 0,
    /// It reads as zero, and no page of it is resident.
    Untouched,
    /// It reads as zero, and its pages may be resident: they were faulted in at once.
    Populated,
}

/// A block that was never handed out.
pub(crate) struct Carved {
    pub(crate) block: Block,
    /// Whether the block reads as zero.
    pub(crate) zero: bool,
}

impl Slab {
    /// Whether there is room for further blocks.
    pub(crate) fn has_uncarved(&self) -> bool {
        self.carved.get() < self.capacity.get()
    }

    /// Units, from the first, that may be resident or hold anything but zeroes.
    pub(crate) fn used_units(&self) -> usize {
        match self.uncarved.get() {
            Uncarved::Untouched => self.carved_bytes().div_ceil(UNIT_BYTES),
            Uncarved::Populated | Uncarved::Dirty => self.units(),
        }
    }

    /// Faults in the pages of a slab that was just opened over untouched units. They are resident
    /// from now on, and are given back with the carved ones.
    pub(crate) fn populate(&self) {
        let Some(start) =
            NonNull::new(self.pointer(0)).filter(|_| self.uncarved.get() == Uncarved::Untouched)
        else {
            return;
        };
        // SAFETY: the units are the slab's. Where the kernel refuses, they are faulted in singly.
        let answer = unsafe { os::populate(start, self.units().wrapping_mul(UNIT_BYTES)) };
        // `EINVAL`: the kernel does not know the advice, and did nothing. Any other refusal may
        // come half-way (madvise(2), `MADV_POPULATE_WRITE`).
        if answer != Err(os::Errno(libc::EINVAL)) {
            self.uncarved.set(Uncarved::Populated);
        }
    }

    /// Carves some blocks of a current slab with [`has_uncarved`](Self::has_uncarved). The first
    /// block is returned, the others join the free list.
    ///
    /// Untouched memory is carved to the end of the OS page in which the next block ends, so that
    /// the pages behind it stay untouched. Memory that was used before is likely resident: as many
    /// bytes are carved as there are carved ones, so that few blocks cost little and many need few
    /// steps.
    pub(crate) fn carve(&self) -> Carved {
        let zero = self.uncarved.get() != Uncarved::Dirty;
        let block = self.block_bytes();
        let from = self.carved_bytes.get();
        let order = CarveOrder::of(self.next_blocks(zero));
        let blocks = order.blocks();
        let nth = |nth| self.block_at(from.wrapping_add(order.index(nth).wrapping_mul(block)) as u32);
        let others = (1..blocks as usize).rev().map(nth);
        if self.feeds_bins() {
            others.for_each(|block| {
                let index = self.index_at(block.address());
                if !zero {
                    // The memory may hold the mark of another slab's block.
                    let _ = block.hand_out();
                }
                self.set_absent(index);
            });
        } else {
            self.free.push_all(others);
        }
        self.carved.set(self.carved.get().wrapping_add(blocks));
        self.carved_bytes.set((self.carved.get() as usize).wrapping_mul(block));
        self.count.store(self.count.load(Ordering::Relaxed).wrapping_sub(1), Ordering::Relaxed);
        Carved { block: nth(0), zero }
    }

    /// Bytes that the next call of [`carve`](Self::carve) carves at most.
    pub(crate) fn next_carve_bytes(&self) -> usize {
        let blocks = self.next_blocks(self.uncarved.get() != Uncarved::Dirty);
        (blocks as usize).wrapping_mul(self.block_bytes())
    }

    /// How many blocks are carved next, at most.
    #[inline]
    fn next_blocks(&self, zero: bool) -> u32 {
        let block = self.block_bytes();
        let from = self.carved_bytes.get();
        let edge = if zero {
            align_up(from.wrapping_add(block), os::page_bytes())
        } else {
            let most = CARVE_BYTES.max(block.wrapping_mul(CARVE_BLOCKS));
            from.wrapping_add(from.clamp(CARVE_LEAST_BYTES, most).max(block))
        };
        let fit = edge.wrapping_sub(from).checked_div(block).unwrap_or(1) as u32;
        fit.min(self.capacity.get().wrapping_sub(self.carved.get()))
    }

    /// Prepares the blocks just carved, those from the offset `from` on: in the `secure` build each
    /// gets a canary that says *free*, and is zeroed where the memory was used before.
    pub(crate) fn prepare_carved(&self, from: usize, carved: &Carved) {
        if !hardening::ON {
            return;
        }
        carved.block.link(core::ptr::null_mut());
        let block_bytes = self.block_bytes();
        for offset in (from..self.carved_bytes()).step_by(block_bytes.max(1)) {
            let start = self.pointer(offset as u32);
            if !carved.zero {
                // SAFETY: the block is that long, and on the list or the token of the caller.
                unsafe { hardening::clear_carved(start, block_bytes) };
            }
            // SAFETY: as above.
            unsafe { hardening::mark_free(start, block_bytes) };
        }
    }
}
