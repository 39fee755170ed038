//! How long calls to the allocator take.

use std::alloc::Layout;
use std::time::Instant;

use hdrhistogram::Histogram;

/// The calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Allocate,
    AllocateZeroed,
    Reallocate,
    Free,
}

impl Call {
    pub(crate) const ALL: [Self; 4] = [Self::Allocate, Self::AllocateZeroed, Self::Reallocate, Self::Free];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Allocate => "alloc",
            Self::AllocateZeroed => "alloc_zeroed",
            Self::Reallocate => "realloc",
            Self::Free => "dealloc",
        }
    }
}

/// Something that stands around calls to the allocator.
pub(crate) trait Clock {
    fn around<T>(&mut self, call: Call, layout: Layout, run: impl FnOnce() -> T) -> T;
}

/// No clock, for calls that are not the measured lanes' own.
#[derive(Debug)]
pub(crate) struct Untimed;

impl Clock for Untimed {
    fn around<T>(&mut self, _: Call, _: Layout, run: impl FnOnce() -> T) -> T {
        run()
    }
}

/// The slowest call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Worst {
    pub(crate) nanoseconds: u64,
    pub(crate) call: Call,
    /// The layout asked for, or given back.
    pub(crate) layout: Layout,
    pub(crate) lane: usize,
    pub(crate) operation: u64,
}

/// The calls of a lane, or of all of them.
#[derive(Clone, Debug)]
pub(crate) struct Times {
    /// In the order of [`Call::ALL`].
    by_call: [Histogram<u64>; 4],
    pub(crate) worst: Option<Worst>,
    lane: usize,
    /// Which operation the calls belong to.
    pub(crate) operation: u64,
}

/// Longer calls count as this long: an hour.
const MOST_NANOSECONDS: u64 = 3_600_000_000_000;

/// A histogram that never grows, so that recording allocates nothing.
fn empty() -> Histogram<u64> {
    #[expect(clippy::expect_used, reason = "constants, right or wrong for good")]
    Histogram::new_with_bounds(1, MOST_NANOSECONDS, 2).expect("bounds that hdrhistogram takes")
}

impl Times {
    pub(crate) fn new(lane: usize) -> Self {
        Self { by_call: std::array::from_fn(|_| empty()), worst: None, lane, operation: 0 }
    }

    /// Adds another lane's calls.
    pub(crate) fn add(&mut self, other: &Self) {
        for (ours, theirs) in self.by_call.iter_mut().zip(&other.by_call) {
            // Never fails: the bounds are the same.
            let _ = ours.add(theirs);
        }
        self.worst = self.worst.into_iter().chain(other.worst).max_by_key(|worst| worst.nanoseconds);
    }

    /// Each call and its times.
    pub(crate) fn by_call(&self) -> impl Iterator<Item = (Call, &Histogram<u64>)> {
        Call::ALL.into_iter().zip(&self.by_call)
    }

    /// All calls together.
    pub(crate) fn all(&self) -> Histogram<u64> {
        let mut all = empty();
        for histogram in &self.by_call {
            // Never fails: the bounds are the same.
            let _ = all.add(histogram);
        }
        all
    }
}

impl Clock for Times {
    #[inline]
    fn around<T>(&mut self, call: Call, layout: Layout, run: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = run();
        let nanoseconds = start.elapsed().as_nanos() as u64;
        if let Some(histogram) = self.by_call.get_mut(call as usize) {
            histogram.saturating_record(nanoseconds);
        }
        if self.worst.is_none_or(|worst| worst.nanoseconds < nanoseconds) {
            let (lane, operation) = (self.lane, self.operation);
            self.worst = Some(Worst { nanoseconds, call, layout, lane, operation });
        }
        result
    }
}
