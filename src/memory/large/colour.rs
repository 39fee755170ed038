//! Where in its first page a large block begins.
//!
//! Ranges begin on OS pages, and one cache line in each page maps to the same set of the first-level
//! cache. Blocks that all began there would evict each other when they are written in lock-step: eight
//! of them, or twelve, fill the set. So each begins on another line, as far as the end of its last page
//! has room.

use crate::base::atomic::{AtomicU32, Ordering};
use crate::base::config::LINE_BYTES;
use crate::block::hardening;
use crate::policy::options;

/// 2^32 divided by the golden ratio: multiples of it, modulo 2^32, lie evenly apart, and so do those of
/// every second or third (Knuth, TAOCP 6.4).
const GOLDEN: u32 = 0x9e37_79b9;

/// How far into a range a block begins that is aligned to `align` and leaves `slack` bytes of it. Always at
/// its beginning where what lies before a block is guarded, or its first bytes were cleared.
pub(super) fn next(slack: usize, align: usize) -> usize {
    static TURN: AtomicU32 = AtomicU32::new(0);
    let step = align.max(LINE_BYTES);
    let places = slack.checked_div(step).unwrap_or(0).wrapping_add(1);
    if places == 1 || hardening::ON || options::get().guard_pages {
        return 0;
    }
    let turn = TURN.fetch_add(GOLDEN, Ordering::Relaxed);
    nth(turn, places).wrapping_mul(step)
}

/// The place of `turn`, a fraction of 2^32, among `places`.
const fn nth(turn: u32, places: usize) -> usize {
    ((turn as u64).wrapping_mul(places as u64) >> u32::BITS) as usize
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
