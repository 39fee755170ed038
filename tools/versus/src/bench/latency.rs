//! Times of single calls.

use std::time::Instant;

use hdrhistogram::Histogram;

use crate::task::Latency;

/// The longest call that is told apart: a minute.
const LONGEST_NS: u64 = 60_000_000_000;

/// Three significant digits: finer than two runs ever agree.
const DIGITS: u8 = 3;

/// A histogram whose memory is all there from the start, so that recording asks
/// nothing of the allocator under test.
pub(crate) fn histogram() -> Histogram<u64> {
    let mut histogram = Histogram::new_with_bounds(1, LONGEST_NS, DIGITS).expect("the bounds are legal");
    histogram.auto(false);
    histogram
}

/// Does `call` and records how long it took, reading the clock included.
pub(crate) fn timed<T>(histogram: &mut Histogram<u64>, call: impl FnOnce() -> T) -> T {
    let clock = Instant::now();
    let result = call();
    let ns = clock.elapsed().as_nanos() as u64;
    histogram.saturating_record(ns.max(1));
    result
}

/// The percentiles that are reported.
pub(crate) fn summary(histogram: &Histogram<u64>) -> Latency {
    Latency {
        calls: histogram.len(),
        p50_ns: histogram.value_at_quantile(0.50),
        p99_ns: histogram.value_at_quantile(0.99),
        p999_ns: histogram.value_at_quantile(0.999),
        p9999_ns: histogram.value_at_quantile(0.9999),
        max_ns: histogram.max(),
    }
}
