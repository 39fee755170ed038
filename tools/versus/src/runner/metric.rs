//! What can be compared of two samples. Less is better in each.

use freestone_versus::task::{Latency, Sample};
use freestone_versus::workloads::Judged;
use serde::Serialize;

/// Something measured of which less is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) enum Metric {
    /// Wall time of the measured part.
    Time,
    /// Processor time of the measured part, in user mode and in the kernel: what a
    /// busy machine disturbs less than wall time, and does not show waiting.
    Processor,
    /// The most that was resident.
    Peak,
    /// What was resident on average.
    Average,
    /// What one call in 10,000 exceeds.
    Tail,
    /// Resident one idle second after everything was freed.
    Idle,
    /// Resident when everything is freed.
    After,
    /// Resident after an explicit purge.
    Purged,
}

impl Metric {
    /// What rows of that kind are compared by, the one they are judged by first.
    pub(crate) fn of(judged: Judged) -> &'static [Self] {
        match judged {
            Judged::Time => &[Self::Time, Self::Peak, Self::Processor],
            Judged::Recording => &[Self::Time, Self::Peak, Self::Average, Self::Processor],
            Judged::Tail => &[Self::Tail, Self::Peak],
            Judged::Memory => &[Self::Peak, Self::Idle, Self::After, Self::Purged],
        }
    }

    /// Its value in a sample, where the sample has it.
    pub(crate) fn value(self, sample: &Sample) -> Option<f64> {
        Some(match self {
            Self::Time => sample.wall_ns as f64,
            Self::Processor => (sample.user_ns + sample.system_ns) as f64,
            Self::Peak => sample.peak_kib as f64,
            Self::Average => sample.average_kib? as f64,
            Self::Tail => sample.latency.as_ref()?.p9999_ns as f64,
            Self::Idle => sample.idle_kib? as f64,
            Self::After => sample.after_kib as f64,
            Self::Purged => sample.purged_kib as f64,
        })
    }

    /// Its name for people.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Processor => "processor time",
            Self::Peak => "peak memory",
            Self::Average => "average memory",
            Self::Tail => "p99.99 of single calls",
            Self::Idle => "resident after 1 s idle",
            Self::After => "resident at once",
            Self::Purged => "resident after purge",
        }
    }

    /// A value with its unit.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::Time | Self::Processor | Self::Tail => show_ns(value),
            Self::Peak | Self::Average | Self::Idle | Self::After | Self::Purged => show_kib(value),
        }
    }
}

/// The percentiles of single calls, with their names.
pub(crate) fn percentiles(latency: &Latency) -> [(&'static str, u64); 5] {
    [
        ("p50", latency.p50_ns),
        ("p99", latency.p99_ns),
        ("p99.9", latency.p999_ns),
        ("p99.99", latency.p9999_ns),
        ("max", latency.max_ns),
    ]
}

/// Nanoseconds in the unit that suits them.
pub(crate) fn show_ns(ns: f64) -> String {
    match ns {
        ns if ns < 1e3 => format!("{ns:.1} ns"),
        ns if ns < 1e6 => format!("{:.1} µs", ns / 1e3),
        ns if ns < 1e9 => format!("{:.1} ms", ns / 1e6),
        ns => format!("{:.2} s", ns / 1e9),
    }
}

/// KiB in the unit that suits them.
pub(crate) fn show_kib(kib: f64) -> String {
    match kib {
        kib if kib < 1024.0 => format!("{kib:.0} KiB"),
        kib if kib < 1024.0 * 1024.0 => format!("{:.1} MiB", kib / 1024.0),
        kib => format!("{:.2} GiB", kib / 1024.0 / 1024.0),
    }
}
