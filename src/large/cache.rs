//! Freed mappings that wait for reuse: few, bounded in bytes, and only for a while.

use super::Mapping;
use crate::config::{PURGE_DELAY_MS, RETAINED_BYTES, RETAINED_MAPPINGS};
use crate::sync::atomic::{AtomicU64, Ordering};

#[derive(Clone, Copy)]
struct Entry {
    mapping: Mapping,
    /// When it was freed.
    since_ms: u64,
}

/// Retained mappings, in no order: there are few enough to look at each.
pub(super) struct Cache {
    entries: [Option<Entry>; RETAINED_MAPPINGS],
    bytes: usize,
}

/// When the oldest entry is due; a hint that is read without the lock.
static NEXT_DUE_MS: AtomicU64 = AtomicU64::new(u64::MAX);

impl Cache {
    pub(super) const fn new() -> Self {
        Self { entries: [None; RETAINED_MAPPINGS], bytes: 0 }
    }

    /// Whether an entry may have waited long enough.
    pub(super) fn is_due(now_ms: impl FnOnce() -> u64) -> bool {
        let due_ms = NEXT_DUE_MS.load(Ordering::Relaxed);
        due_ms != u64::MAX && due_ms <= now_ms()
    }

    /// The entry that fits `bytes` best: the shortest that is long enough, else the longest.
    pub(super) fn take(&mut self, bytes: usize) -> Option<Mapping> {
        let best = self.entries.iter_mut().filter(|entry| entry.is_some()).min_by_key(|entry| {
            let have = entry.map_or(0, |entry| entry.mapping.bytes);
            (have < bytes, have.abs_diff(bytes))
        })?;
        let taken = best.take()?.mapping;
        self.bytes = self.bytes.wrapping_sub(taken.bytes);
        Some(taken)
    }

    /// Keeps `mapping`. Returns what has to go for it: the oldest entry, or the mapping itself
    /// where it is too long to be kept.
    pub(super) fn put(&mut self, mapping: Mapping, now_ms: u64) -> Option<Mapping> {
        if mapping.bytes > RETAINED_BYTES {
            return Some(mapping);
        }
        let mut evicted = None;
        if self.bytes.wrapping_add(mapping.bytes) > RETAINED_BYTES || self.entries.iter().all(Option::is_some)
        {
            evicted = self.pop_oldest();
        }
        if self.bytes.wrapping_add(mapping.bytes) > RETAINED_BYTES {
            // One is not enough: the newcomer goes too, rather than a slow path of many calls.
            return match evicted {
                Some(oldest) => {
                    let _ = self.put_back(oldest, now_ms);
                    Some(mapping)
                }
                None => Some(mapping),
            };
        }
        let _ = self.put_back(mapping, now_ms);
        evicted
    }

    /// Keeps `mapping` whatever its length, if there is a place; else returns it.
    pub(super) fn put_back(&mut self, mapping: Mapping, now_ms: u64) -> Option<Mapping> {
        let Some(place) = self.entries.iter_mut().find(|entry| entry.is_none()) else { return Some(mapping) };
        *place = Some(Entry { mapping, since_ms: now_ms });
        self.bytes = self.bytes.wrapping_add(mapping.bytes);
        NEXT_DUE_MS.fetch_min(now_ms.saturating_add(PURGE_DELAY_MS), Ordering::Relaxed);
        None
    }

    /// Takes the oldest entry, if it has waited long enough.
    pub(super) fn pop_due(&mut self, now_ms: u64) -> Option<Mapping> {
        let oldest_ms = self.oldest()?.map_or(u64::MAX, |entry| entry.since_ms);
        if oldest_ms.saturating_add(PURGE_DELAY_MS) > now_ms {
            NEXT_DUE_MS.store(oldest_ms.saturating_add(PURGE_DELAY_MS), Ordering::Relaxed);
            return None;
        }
        self.pop_oldest()
    }

    /// Takes the oldest entry.
    pub(super) fn pop_oldest(&mut self) -> Option<Mapping> {
        let taken = self.oldest()?.take()?.mapping;
        self.bytes = self.bytes.wrapping_sub(taken.bytes);
        if self.entries.iter().all(Option::is_none) {
            NEXT_DUE_MS.store(u64::MAX, Ordering::Relaxed);
        }
        Some(taken)
    }

    fn oldest(&mut self) -> Option<&mut Option<Entry>> {
        self.entries
            .iter_mut()
            .filter(|entry| entry.is_some())
            .min_by_key(|entry| entry.map_or(u64::MAX, |entry| entry.since_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::ptr::{self, NonNull};

    fn mapping(address: usize, bytes: usize) -> Mapping {
        Mapping { start: NonNull::new(ptr::without_provenance_mut(address)).expect("not null"), bytes }
    }

    #[test]
    fn best_fit_then_longest() {
        let mut cache = Cache::new();
        for megabytes in [3_usize, 9, 5] {
            assert_eq!(cache.put(mapping(megabytes << 20, megabytes << 20), 0), None);
        }
        assert_eq!(cache.take(4 << 20), Some(mapping(5 << 20, 5 << 20)));
        assert_eq!(cache.take(20 << 20), Some(mapping(9 << 20, 9 << 20)));
        assert_eq!(cache.take(1 << 20), Some(mapping(3 << 20, 3 << 20)));
        assert_eq!(cache.take(1 << 20), None);
    }

    #[test]
    fn bounded_and_decaying() {
        let mut cache = Cache::new();
        assert!(cache.put(mapping(1, RETAINED_BYTES + 1), 0).is_some());
        for at in 0..RETAINED_MAPPINGS {
            assert_eq!(cache.put(mapping((at + 1) << 20, 4096), at as u64), None);
        }
        assert_eq!(cache.put(mapping(1 << 40, 4096), 99), Some(mapping(1 << 20, 4096)));
        assert_eq!(cache.pop_due(PURGE_DELAY_MS), None);
        assert_eq!(cache.pop_due(PURGE_DELAY_MS + 1), Some(mapping(2 << 20, 4096)));
        while cache.pop_oldest().is_some() {}
        assert_eq!(cache.bytes, 0);
    }
}
