//! The order that a peer process is given and the sample it hands back, both
//! as one line of JSON.

use std::path::PathBuf;

use crate::bench::meter;
use serde::{Deserialize, Serialize};

/// What one fresh process is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Task {
    /// Name of the workload.
    pub workload: String,
    /// Seed of every random choice in it.
    pub seed: u64,
    /// Threads that work at once.
    pub threads: usize,
    /// How many of the workload's rounds are measured.
    pub rounds: u64,
    /// Real milliseconds that one second of simulated service takes.
    pub second_ms: u64,
    /// The recording to replay, where the workload is one.
    #[serde(default)]
    pub recording: Option<Recording>,
}

/// A recorded program to replay.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Recording {
    /// Where its script lies.
    pub script: PathBuf,
    /// How much of each block is written and read: none, first, all.
    pub touch: String,
}

/// What one fresh process measured of itself.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Sample {
    /// Time of the measured part.
    pub wall_ns: u64,
    /// Processor time of the measured part, all threads, in user mode.
    pub user_ns: u64,
    /// Processor time of the measured part, all threads, in the kernel.
    pub system_ns: u64,
    /// What the measured part did, in the workload's own unit.
    pub operations: u64,
    /// Page faults of the measured part that needed no input or output.
    pub minor_faults: u64,
    /// Page faults of the measured part that did.
    pub major_faults: u64,
    /// Resident before the measured part: the program and its inputs.
    pub start_kib: u64,
    /// The most that was resident from the measured part until everything was
    /// freed.
    pub peak_kib: u64,
    /// Resident when the workload has freed everything.
    pub after_kib: u64,
    /// Resident one idle second later; only where the workload is about memory.
    pub idle_kib: Option<u64>,
    /// What was resident on average while a recording was replayed, less what was before.
    #[serde(default)]
    pub average_kib: Option<u64>,
    /// Resident after the allocator was asked to give back what it can.
    pub purged_kib: u64,
    /// What the memory cgroup was charged for the measured part, at its end.
    pub cgroup_kib: Option<i64>,
    /// Bytes that the program itself held at the peak, where that is known.
    pub live_kib: Option<u64>,
    /// Times of single calls, where the workload is about them.
    pub latency: Option<Latency>,
    /// Resident memory as the service went on, where the workload is a service.
    #[serde(default)]
    pub resident: Vec<Resident>,
}

impl Sample {
    /// Leaves what was resident before the measured part out of what was resident later: the script
    /// of a recording is as large as what it asks for.
    pub fn count_growth(&mut self) {
        for kib in [&mut self.peak_kib, &mut self.after_kib, &mut self.purged_kib] {
            *kib = kib.saturating_sub(self.start_kib);
        }
    }
}

/// Times of single calls, clock included.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Latency {
    /// Number of calls timed.
    pub calls: u64,
    /// Half of them were no slower.
    pub p50_ns: u64,
    /// 99 of 100 were no slower.
    pub p99_ns: u64,
    /// 999 of 1,000 were no slower.
    pub p999_ns: u64,
    /// 9,999 of 10,000 were no slower.
    pub p9999_ns: u64,
    /// The slowest.
    pub max_ns: u64,
}

/// Resident memory at one moment of a simulated service.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Resident {
    /// Simulated second.
    pub second: u64,
    /// Bytes that the program itself held.
    pub live_kib: u64,
    /// Bytes that were resident.
    pub resident_kib: u64,
}

impl Resident {
    /// This process now, in that simulated second.
    #[must_use]
    pub fn now(second: u64, live_bytes: usize) -> Self {
        Self { second, live_kib: live_bytes as u64 / 1024, resident_kib: meter::resident_kib() }
    }
}

/// Exit status of a peer that can't do a workload by its nature (a floor that
/// never frees runs out of room), as against one that fails at it.
pub const EXIT_SKIPPED: u8 = 77;
