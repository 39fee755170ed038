//! Which address ranges are live: two that overlap are seen when the second is handed out. The
//! stress test and the fuzz target use this file, too.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Live ranges, end by start.
#[derive(Default)]
pub(crate) struct Ranges(Mutex<BTreeMap<usize, usize>>);

impl Ranges {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    fn live(&self) -> MutexGuard<'_, BTreeMap<usize, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a range that was handed out. The start and length of a live one that it overlaps, if
    /// there is one; then nothing is noted.
    pub(crate) fn insert(&self, start: usize, bytes: usize) -> Result<(), (usize, usize)> {
        let mut live = self.live();
        let end = start + bytes;
        if let Some((&other, &other_end)) = live.range(..end).next_back()
            && other_end > start
        {
            return Err((other, other_end - other));
        }
        live.insert(start, end);
        Ok(())
    }

    /// Forgets a range before it is given back: afterwards another thread may be given it. Its
    /// length, if it was live.
    pub(crate) fn remove(&self, start: usize) -> Option<usize> {
        self.live().remove(&start).map(|end| end - start)
    }
}
