//! Where in its first page a large block begins.
//!
//! Ranges begin on OS pages, and the first cache lines of all pages map to the same set of the
//! first-level cache. Blocks that all began there would evict each other when they are written in
//! lock-step: eight of them, or twelve, fill the set. So each begins on another line, as far as its
//! last page has room. This is called cache colouring (Bonwick, "The Slab Allocator", 1994).

use crate::base::atomic::{AtomicU32, Ordering};
use crate::base::config::LINE_BYTES;
use crate::block::hardening;
use crate::policy::options;

/// 2^32 divided by the golden ratio: multiples of it, modulo 2^32, lie evenly apart, and so do
/// those of every second or third (Knuth, TAOCP 6.4).
const GOLDEN: u32 = 0x9e37_79b9;

/// The offset of a block in its range, of which it leaves `slack` bytes, in multiples of `align`.
/// Zero where a guard must lie right before the block, or hardening has cleared its first bytes.
pub(super) fn next(slack: usize, align: usize) -> usize {
    static TURN: AtomicU32 = AtomicU32::new(0);
    let step = align.max(LINE_BYTES);
    let lines = slack.checked_div(step).unwrap_or(0).wrapping_add(1);
    if lines == 1 || hardening::ON || options::get().guard_pages {
        return 0;
    }
    let turn = TURN.fetch_add(GOLDEN, Ordering::Relaxed);
    nth(turn, lines).wrapping_mul(step)
}

/// The line of `turn`, a fraction of 2^32, among `lines`.
const fn nth(turn: u32, lines: usize) -> usize {
    ((turn as u64).wrapping_mul(lines as u64) >> u32::BITS) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_taken_evenly_by_every_second_and_third_block_too() {
        for every in 1..4_u32 {
            let mut taken = [0; 64];
            for at in 0..640_u32 {
                taken[nth(GOLDEN.wrapping_mul(at * every), 64)] += 1;
            }
            assert!(taken.iter().all(|times| (8..=12).contains(times)), "{every}: {taken:?}");
        }
    }

    #[test]
    fn a_block_stays_aligned_and_inside_its_range() {
        for align in [1, 8, 64, 128, 1024, 4096, 1 << 20] {
            for slack in [0, 1, 63, 64, 65, 1000, 4095] {
                for _ in 0..100 {
                    let offset = next(slack, align);
                    assert!(offset <= slack && offset.is_multiple_of(align), "{offset} of {slack}, {align}");
                }
            }
        }
    }
}
