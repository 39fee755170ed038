//! A block handed out to a caller, and cleared when it comes back.
//!
//! In the `secure` build a free block begins with an encoded link and is zero behind it, up to
//! [`ZEROED_BYTES`] or its canary. So a write to the first bytes of a free block is seen when the
//! block is handed out, and a caller reads nothing of the caller before there.

use core::alloc::Layout;
use core::ptr::NonNull;

use super::ON;
use super::canary::{CANARY_BYTES, Mask, seal, seal_for};
use crate::block::free_list::Block;
use crate::block::link::Link;
use crate::block::size_class::Class;
use crate::os::fatal;

/// Bytes of a block that are zeroed when it is freed: zeroing a page would cost more than the rest.
const ZEROED_BYTES: usize = 1024;

/// Bytes of a free block's link.
const HEAD_BYTES: usize = size_of::<Link>();

/// Bytes that are compared when a block is handed out: the link, and a cache line, in which most
/// writes through stale pointers begin.
const FIRST_BYTES: usize = HEAD_BYTES + 4 * PAIR_BYTES;

const WORD_BYTES: usize = size_of::<u64>();

/// The unit in which blocks are zeroed and compared: two words, for one instruction.
const PAIR_BYTES: usize = 2 * WORD_BYTES;

/// The shortest block with a pair between link and canary.
const LEAST_OF_PAIRS: usize = HEAD_BYTES + PAIR_BYTES + CANARY_BYTES;

/// The block as the caller's memory. In the `secure` build a block that was written to while it was
/// free is reported.
#[inline(always)]
pub(crate) fn hand_out(block: Block, class: Class, layout: Layout) -> NonNull<u8> {
    if !ON {
        return block.hand_out();
    }
    let block_bytes = class.shape().block as usize;
    let key = block.key();
    let start = clear_head(block);
    // SAFETY: the offsets are in the block, which is this function's own.
    let at = |offset: usize| unsafe { start.byte_add(offset) };
    let found = if block_bytes < LEAST_OF_PAIRS {
        // SAFETY: as above. In a block of two words, the head.
        unsafe { at(block_bytes.wrapping_sub(CANARY_BYTES + WORD_BYTES)).cast::<u64>().read() }
    } else {
        let last = block_bytes.wrapping_sub(CANARY_BYTES + PAIR_BYTES);
        first_pairs(last).into_iter().fold(0, |found, offset| {
            // SAFETY: as above.
            let [first, second] = unsafe { at(offset).cast::<[u64; 2]>().read() };
            found | first | second
        })
    };
    if found != 0 {
        return hand_out_although_written(start, class, layout);
    }
    // SAFETY: as above; the caller's bytes in the word of the padding are zero.
    unsafe { seal(start.as_ptr(), Mask::of(key), block_bytes, layout, 0) };
    start
}

/// A block that was never used, as the caller's memory.
#[inline]
pub(crate) fn hand_out_fresh(block: Block, class: Class, layout: Layout) -> NonNull<u8> {
    if !ON {
        return block.into_raw();
    }
    let key = block.key();
    let start = clear_head(block);
    // SAFETY: the block is this function's own, and all of it zero.
    unsafe { seal(start.as_ptr(), Mask::of(key), class.shape().block as usize, layout, 0) };
    start
}

/// The block without its link.
#[inline(always)]
fn clear_head(block: Block) -> NonNull<u8> {
    let start = block.into_raw();
    // SAFETY: every block has two words, and this one is the caller's.
    unsafe { start.cast::<u64>().write(0) };
    start
}

#[cold]
#[inline(never)]
fn hand_out_although_written(start: NonNull<u8>, class: Class, layout: Layout) -> NonNull<u8> {
    fatal::caught("write to a free block", start.addr().get());
    seal_for(start, class, layout);
    start
}

/// Whether blocks of so many bytes are long enough for their clearing to be a call of its own.
#[inline(always)]
pub(crate) const fn is_long(block_bytes: usize) -> bool {
    ON && block_bytes > FIRST_BYTES + CANARY_BYTES
}

/// Zeroes a block, whose canary says that it is free, for its list.
#[inline(always)]
pub(crate) fn clear_for_list(start: NonNull<u8>, block_bytes: usize) {
    if !ON {
        return;
    }
    // Not one byte beyond the zeroed ones: others may be reading the canary.
    // SAFETY: the caller gave the block up, and it is that long.
    let at = |offset: usize| unsafe { start.byte_add(offset) };
    if block_bytes < LEAST_OF_PAIRS {
        // SAFETY: as above.
        unsafe { at(block_bytes.wrapping_sub(CANARY_BYTES + WORD_BYTES)).cast::<u64>().write(0) };
    } else {
        for offset in first_pairs(block_bytes.wrapping_sub(CANARY_BYTES + PAIR_BYTES)) {
            // SAFETY: as above.
            unsafe { at(offset).cast::<[u64; 2]>().write([0; 2]) };
        }
        if is_long(block_bytes) {
            // SAFETY: as above.
            unsafe { at(FIRST_BYTES).write_bytes(0, zeroed(block_bytes).wrapping_sub(FIRST_BYTES)) };
        }
    }
}

/// Zeroes a block just carved from memory that was used before, behind its link.
///
/// # Safety
/// A block of that length begins at `start`, and nobody uses it.
pub(crate) unsafe fn clear_carved(start: *mut u8, block_bytes: usize) {
    let head = start.wrapping_add(HEAD_BYTES);
    // SAFETY: forwarded to the caller.
    unsafe { head.write_bytes(0, zeroed(block_bytes).saturating_sub(HEAD_BYTES)) };
}

/// Zeroes the first bytes of a mapping that was used before, as those of blocks.
///
/// # Safety
/// So many bytes from `start` are the caller's, and nothing refers to them.
pub(crate) unsafe fn clear_for_reuse(start: NonNull<u8>, bytes: usize) {
    if ON {
        // SAFETY: forwarded to the caller.
        unsafe { start.write_bytes(0, bytes.min(ZEROED_BYTES)) };
    }
}

/// Bytes of a block that are zero while it is free, but for its link.
#[inline(always)]
fn zeroed(block_bytes: usize) -> usize {
    block_bytes.min(ZEROED_BYTES.wrapping_add(CANARY_BYTES)).wrapping_sub(CANARY_BYTES)
}

/// The offsets of the pairs of words in the cache line behind a block's link. The last pair of the
/// block begins at `last`. There are always four, the last one repeated where the block has fewer,
/// so that there is no branch to predict.
#[inline(always)]
fn first_pairs(last: usize) -> [usize; 4] {
    [0, 1, 2, 3].map(|pair: usize| pair.wrapping_mul(PAIR_BYTES).wrapping_add(HEAD_BYTES).min(last))
}
