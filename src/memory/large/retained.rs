//! Retained ranges: freed ranges kept for reuse, bounded in number, bytes and time.
//!
//! A range is given out in part and the rest stays; ranges that are neighbours in one mapping
//! become one again. So blocks of changing sizes are cut from memory that is resident, without a
//! call to the kernel, and a growing block takes in the free range behind it.
//!
//! State: the table, which its user locks; when the oldest range is due, an atomic word. A copy of
//! the process may catch the table between any two writes (fork(2)): it loses one range at most.

use super::{Range, guard};
use crate::base::atomic::in_order;
use crate::base::atomic::{AtomicU64, Ordering};
use crate::base::config::{RETAINED_BYTES, RETAINED_RANGES};
use crate::memory::demand::Demand;
use crate::policy::limit::COMMITTED;
use crate::policy::options;

#[derive(Clone, Copy)]
struct Entry {
    range: Range,
    /// When its last part was freed.
    since_ms: u64,
}

/// Retained ranges, in no order: there are few enough to examine each.
pub(super) struct Retained {
    /// The first `count` are ranges, the others are none.
    entries: [Option<Entry>; RETAINED_RANGES],
    count: usize,
    bytes: usize,
    /// How much of that is likely to be needed again.
    demand: Demand,
    /// One more than the index of the entry that is being changed, or zero.
    changing: usize,
}

/// When the oldest entry is due; `u64::MAX` where there is none. A hint that is read without the
/// lock.
static NEXT_DUE_MS: AtomicU64 = AtomicU64::new(u64::MAX);

/// Whether a range may be due.
#[inline]
pub(super) fn is_due(now_ms: impl FnOnce() -> u64) -> bool {
    let due_ms = NEXT_DUE_MS.load(Ordering::Relaxed);
    due_ms != u64::MAX && due_ms <= now_ms()
}

/// When the oldest entry is due.
#[cfg(feature = "background-purge")]
pub(super) fn next_due_ms() -> u64 {
    NEXT_DUE_MS.load(Ordering::Relaxed)
}

impl Retained {
    pub(super) const fn new() -> Self {
        Self { entries: [None; RETAINED_RANGES], count: 0, bytes: 0, demand: Demand::new(), changing: 0 }
    }

    /// Bytes of all ranges.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    fn entries(&self) -> impl Iterator<Item = (usize, Entry)> {
        self.entries.iter().take(self.count).enumerate().filter_map(|(at, entry)| Some((at, (*entry)?)))
    }

    /// Every range.
    pub(super) fn ranges(&self) -> impl Iterator<Item = Range> {
        self.entries().map(|(_, entry)| entry.range)
    }

    /// As [`find`](Self::find), reporting the need.
    pub(super) fn take(&mut self, bytes: usize) -> Option<Range> {
        let found = self.find(bytes);
        let fresh = bytes.saturating_sub(found.map_or(0, |range| range.bytes));
        self.demand.needed(self.bytes, fresh);
        found
    }

    /// A range for a block of `bytes`, cut from the shortest that is long enough; else the longest
    /// that has at least half, to be grown.
    fn find(&mut self, bytes: usize) -> Option<Range> {
        // The rest needs guards and a page of its own, where there are guards.
        let fits = |range: Range| range.bytes <= bytes || range.split(bytes).1.is_some();
        let (at, entry) =
            self.entries().filter(|(_, entry)| fits(entry.range)).min_by_key(|(_, entry)| {
                let have = entry.range.bytes;
                (have < bytes, have.abs_diff(bytes))
            })?;
        if entry.range.bytes < bytes / 2 { None } else { self.cut(at, bytes) }
    }

    /// Takes the first `bytes` right behind `range` in the same mapping, if that much is retained.
    /// Returns `range`, grown by them.
    pub(super) fn take_behind(&mut self, range: Range, bytes: usize) -> Option<Range> {
        let (at, behind) = self.entries().find(|(_, entry)| range.is_before(entry.range))?;
        let gap = guard::gap(range);
        if bytes < behind.range.bytes {
            self.change(at, Some(Entry { range: behind.range.without(bytes), ..behind }));
            self.bytes = self.bytes.wrapping_sub(bytes);
        } else if bytes == behind.range.bytes.wrapping_add(gap) && (gap == 0 || COMMITTED.reserve(gap)) {
            // All of it, and the guards between.
            self.remove(at)?;
        } else {
            return None;
        }
        self.demand.needed(self.bytes, 0);
        Some(Range { bytes: range.bytes.wrapping_add(bytes), ..range }.changed())
    }

    /// Takes the first `bytes` of an entry, or all of it.
    fn cut(&mut self, at: usize, bytes: usize) -> Option<Range> {
        let entry = (*self.entries.get(at)?)?;
        let (taken, rest) = entry.range.split(bytes);
        match rest {
            Some(rest) => {
                self.change(at, Some(Entry { range: rest, ..entry }));
                self.bytes = self.bytes.wrapping_sub(taken.bytes).wrapping_sub(guard::gap(taken));
                COMMITTED.release(guard::gap(taken));
            }
            None => drop(self.remove(at)),
        }
        Some(taken)
    }

    fn remove(&mut self, at: usize) -> Option<Range> {
        let last = self.count.checked_sub(1)?;
        let removed = (*self.entries.get(at)?)?;
        let moved = *self.entries.get(last)?;
        self.changing = at.wrapping_add(1);
        in_order();
        *self.entries.get_mut(at)? = moved;
        in_order();
        self.count = last;
        in_order();
        self.changing = 0;
        *self.entries.get_mut(last)? = None;
        self.bytes = self.bytes.wrapping_sub(removed.range.bytes);
        if last == 0 {
            NEXT_DUE_MS.store(u64::MAX, Ordering::Relaxed);
        }
        Some(removed.range)
    }

    /// Changes an entry. A copy of the process that has it half changed finds its index in
    /// `changing`.
    fn change(&mut self, at: usize, new: Option<Entry>) {
        self.changing = at.wrapping_add(1);
        in_order();
        if let Some(entry) = self.entries.get_mut(at) {
            *entry = new;
        }
        in_order();
        self.changing = 0;
    }

    /// Makes the table whole, of which another thread of the parent may have been changing an
    /// entry: that one is abandoned. For a child.
    pub(super) fn mend(&mut self) {
        if let Some(at) = self.changing.checked_sub(1) {
            self.change(at, None);
        }
        let mut count = 0_usize;
        let mut bytes = 0_usize;
        for at in 0..self.count {
            let Some(entry) = self.entries.get(at).copied().flatten() else { continue };
            if let Some(cell) = self.entries.get_mut(count) {
                *cell = Some(entry);
            }
            bytes = bytes.wrapping_add(entry.range.bytes);
            count = count.wrapping_add(1);
        }
        self.entries.iter_mut().skip(count).for_each(|entry| *entry = None);
        (self.count, self.bytes) = (count, bytes);
        NEXT_DUE_MS.store(if count == 0 { u64::MAX } else { 0 }, Ordering::Relaxed);
    }

    /// Keeps `range`. Returns the range that has to go for it: the oldest, or itself where it is
    /// too long to be kept.
    pub(super) fn put(&mut self, range: Range, now_ms: u64) -> Option<Range> {
        let bytes = self.bytes.wrapping_add(range.bytes);
        let most = options::get().retained_bytes.min(RETAINED_BYTES.max(self.demand.keep()));
        let mut evicted = None;
        if bytes > most || self.count == RETAINED_RANGES {
            let oldest = self.oldest().filter(|(_, entry)| bytes.wrapping_sub(entry.range.bytes) <= most);
            let Some((at, _)) = oldest else {
                self.demand.gave_back(range.bytes);
                self.demand.freed(self.bytes);
                return Some(range);
            };
            evicted = self.remove(at);
            self.demand.gave_back(evicted.map_or(0, |range| range.bytes));
        }
        let rejected = self.put_back(range, now_ms);
        evicted.or(rejected)
    }

    /// Keeps `range` whatever its length, if the table has room; else returns it, joined to its
    /// neighbours.
    pub(super) fn put_back(&mut self, mut range: Range, now_ms: u64) -> Option<Range> {
        // A range has two neighbours at most.
        for _ in 0..2 {
            let neighbour = self.entries().find_map(|(at, entry)| Some((at, entry.range.join(range)?)));
            let Some((at, joined)) = neighbour else { break };
            // The guards between become memory.
            let gap = guard::gap(joined);
            if gap != 0 && !COMMITTED.reserve(gap) {
                break;
            }
            let _ = self.remove(at);
            range = joined;
        }
        let Some(cell) = self.entries.get_mut(self.count) else { return Some(range) };
        *cell = Some(Entry { range, since_ms: now_ms });
        in_order();
        self.count = self.count.wrapping_add(1);
        self.bytes = self.bytes.wrapping_add(range.bytes);
        self.demand.freed(self.bytes);
        NEXT_DUE_MS.fetch_min(now_ms.saturating_add(options::get().purge_delay_ms), Ordering::Relaxed);
        None
    }

    /// Takes the oldest entry, if it is due and not likely to be needed again.
    pub(super) fn pop_due(&mut self, now_ms: u64) -> Option<Range> {
        let delay_ms = options::get().purge_delay_ms;
        self.demand.tick(self.bytes, now_ms, delay_ms);
        let (at, oldest) = self.oldest()?;
        let mut due_ms = oldest.since_ms.saturating_add(delay_ms);
        if due_ms <= now_ms && delay_ms != 0 && self.bytes <= self.demand.keep() {
            due_ms = now_ms.saturating_add(delay_ms);
        }
        if due_ms > now_ms {
            NEXT_DUE_MS.store(due_ms, Ordering::Relaxed);
            return None;
        }
        self.demand.gave_back(oldest.range.bytes);
        self.remove(at)
    }

    /// Takes the oldest entry, even if it is likely to be needed again.
    pub(super) fn pop_oldest(&mut self) -> Option<Range> {
        self.demand.forget();
        let (at, _) = self.oldest()?;
        self.remove(at)
    }

    fn oldest(&self) -> Option<(usize, Entry)> {
        self.entries().min_by_key(|(_, entry)| entry.since_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::super::mapping_id::MappingId;
    use super::*;
    use core::ptr::{self, NonNull};

    const MIB: usize = 1 << 20;

    fn range(at: usize, bytes: usize, mapping: u64) -> Range {
        let start = NonNull::new(ptr::without_provenance_mut(at)).expect("not null");
        Range { start, bytes, mapping: MappingId::plain(mapping) }
    }

    #[test]
    fn best_fit_then_longest() {
        let mut retained = Retained::new();
        for size in [3_usize, 9, 5] {
            assert_eq!(retained.put(range(size << 30, size * MIB, size as u64), 0), None);
        }
        assert_eq!(retained.take(4 * MIB), Some(range(5 << 30, 4 * MIB, 5)));
        assert_eq!(retained.take(10 * MIB), Some(range(9 << 30, 9 * MIB, 9)));
        assert_eq!(retained.take(10 * MIB), None, "less than half of it is left");
        assert_eq!(retained.bytes, 4 * MIB);
    }

    #[test]
    fn what_was_cut_becomes_one_again() {
        let mut retained = Retained::new();
        let whole = range(1 << 30, 8 * MIB, 1);
        assert_eq!(retained.put(whole, 0), None);
        let first = retained.take(3 * MIB).expect("cut");
        assert_eq!(retained.take_behind(first, 6 * MIB), None);
        let first = retained.take_behind(first, 2 * MIB).expect("room");
        assert_eq!(first, range(1 << 30, 5 * MIB, 1));
        assert_eq!(retained.put(first, 1), None);
        assert_eq!(retained.take(8 * MIB), Some(whole));
        // Neighbours by address alone are not one mapping.
        assert_eq!(retained.put(range(1 << 30, MIB, 1), 2), None);
        assert_eq!(retained.put(range((1 << 30) + MIB, MIB, 2), 2), None);
        assert_eq!(retained.take(2 * MIB).map(|range| range.bytes), Some(MIB));
    }

    #[test]
    fn bounded_and_decaying() {
        let delay_ms = options::get().purge_delay_ms;
        let mut retained = Retained::new();
        assert!(retained.put(range(4096, RETAINED_BYTES + 1, 0), 0).is_some());
        for at in 0..RETAINED_RANGES {
            assert_eq!(retained.put(range((at + 1) << 30, 4096, at as u64), at as u64), None);
        }
        assert_eq!(retained.put(range(1 << 40, 4096, 99), 99), Some(range(1 << 30, 4096, 0)));
        assert_eq!(retained.pop_due(delay_ms), None);
        assert_eq!(retained.pop_due(delay_ms + 1), Some(range(2 << 30, 4096, 1)));
        while retained.pop_oldest().is_some() {}
        assert_eq!(retained.bytes, 0);
    }

    #[test]
    fn what_is_needed_again_may_be_more() {
        let mut retained = Retained::new();
        let blocks = 200 * MIB / (4 * MIB);
        for round in 0..3 {
            for block in 0..blocks {
                let evicted = retained.put(range((block + 1) << 30, 4 * MIB, block as u64), 0);
                assert_eq!(evicted.is_none(), round > 0 || block < 32, "round {round}, block {block}");
            }
            let found = (0..blocks).filter(|_| retained.take(4 * MIB).is_some()).count();
            assert_eq!(found, if round == 0 { 32 } else { blocks });
        }
        // And goes when it is not, by halves.
        for block in 0..blocks {
            let _ = retained.put(range((block + 1) << 30, 4 * MIB, block as u64), 0);
        }
        let delay_ms = options::get().purge_delay_ms;
        let mut sizes = Vec::new();
        for turn in 1..=56 {
            while retained.pop_due(turn * delay_ms).is_some() {}
            sizes.push(retained.bytes / MIB);
        }
        let (first, second) = (sizes.get(7), sizes.get(8));
        assert_eq!((first, second, sizes.last()), (Some(&200), Some(&124), Some(&0)), "{sizes:?}");
    }
}
