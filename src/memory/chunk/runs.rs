//! Sets of a chunk's units, and the runs in them.
#![forbid(unsafe_code)]

use crate::base::config::UNITS;

/// A set of units, a bit each; the lowest is the header's.
pub(crate) type Units = u64;

/// The set of the `units`, 1 to 64, from `first` on.
pub(super) fn run_mask(first: u32, units: usize) -> Units {
    (Units::MAX >> UNITS.wrapping_sub(units)) << first
}

/// Length of the longest run of set bits, if that is below 64: the header is never free.
pub(super) fn longest_run(set: Units) -> u8 {
    // First bits of the runs of 1, 2, 4 … 32.
    let mut starts = [set; 6];
    for power in 1..starts.len() {
        let (Some(half), step) = (starts.get(power.wrapping_sub(1)).copied(), 1_u32 << power.wrapping_sub(1))
        else {
            break;
        };
        if let Some(whole) = starts.get_mut(power) {
            *whole = half & (half >> step);
        }
    }
    // The longest run's length, from its highest binary digit down.
    let (mut length, mut runs) = (0_u32, Units::MAX);
    for (power, starts) in starts.iter().enumerate().rev() {
        let longer = runs & (starts >> length);
        if longer != 0 {
            runs = longer;
            length |= 1 << power;
        }
    }
    length as u8
}

/// First bits of all runs of `units` set bits.
fn run_starts(set: Units, units: usize) -> Units {
    let mut starts = set;
    let mut have = 1;
    while have < units {
        let step = have.min(units.wrapping_sub(have));
        starts &= starts >> step;
        have = have.wrapping_add(step);
    }
    starts
}

/// First unit of the run of `units` free ones with the most dirty among them. Of several, the
/// lowest.
pub(super) fn best_run(free: Units, dirty: Units, units: usize) -> Option<u32> {
    let all_dirty = run_starts(free & dirty, units);
    if all_dirty != 0 {
        return Some(all_dirty.trailing_zeros());
    }
    let mut starts = run_starts(free, units);
    let mut best = None;
    while starts != 0 {
        let first = starts.trailing_zeros();
        let overlap = (dirty & run_mask(first, units)).count_ones();
        if best.is_none_or(|(most, _)| overlap > most) {
            best = Some((overlap, first));
        }
        starts &= starts.wrapping_sub(1);
    }
    best.map(|(_, first)| first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs() {
        assert_eq!(best_run(0, 0, 1), None);
        assert_eq!(best_run(0b1011_0110, 0, 1), Some(1));
        assert_eq!(best_run(0b1011_0110, 0b1000_0000, 1), Some(7));
        assert_eq!(best_run(0b0111_0110, 0, 3), Some(4));
        assert_eq!(best_run(0b1111_1110, 0b0110_0000, 3), Some(4));
        assert_eq!(best_run(u64::MAX << 1, 0, 63), Some(1));
        assert_eq!(best_run(u64::MAX << 1, u64::MAX, 64), None);
        assert_eq!(run_mask(1, 63), u64::MAX << 1);
        assert_eq!(run_mask(4, 2), 0b11_0000);
        for length in 0..64_u32 {
            for first in 0..64 - length {
                let run = ((1_u64 << length) - 1) << first;
                assert_eq!(u32::from(longest_run(run)), length);
                if first > 4 && length > 2 {
                    assert_eq!(u32::from(longest_run(run | 0b1101)), length.max(2));
                }
            }
        }
    }
}
