//! The measuring, from inside the process: a workload prepares what it needs,
//! then hands the part that counts to one of [`Bench::rounds`], [`Bench::once`]
//! or `Bench::crew`, exactly once.

pub mod block;
pub mod crew;
pub mod latency;
pub mod meter;

use hdrhistogram::Histogram;

use crate::task::{Resident, Sample, Task};
use meter::{Meter, Reading};

/// Rounds run before the clock starts, as a share of those that count: enough to
/// fill an allocator's caches and the branch predictors.
const WARM_UP_SHARE: u64 = 8;

/// One workload's measuring instrument.
#[derive(Debug)]
pub struct Bench {
    task: Task,
    sample: Option<Sample>,
    latency: Option<Histogram<u64>>,
    live_kib: Option<u64>,
    average_kib: Option<u64>,
    baseline_kib: Option<u64>,
    resident: Vec<Resident>,
}

impl Bench {
    /// An instrument for `task`.
    #[must_use]
    pub fn new(task: Task) -> Self {
        Self {
            task,
            sample: None,
            latency: None,
            live_kib: None,
            average_kib: None,
            baseline_kib: None,
            resident: Vec::new(),
        }
    }

    /// The rounds that count.
    #[must_use]
    pub fn rounds_asked(&self) -> u64 {
        self.task.rounds
    }

    /// The threads that work at once.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.task.threads
    }

    /// The seed of every random choice.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.task.seed
    }

    /// Real milliseconds that one second of simulated service takes.
    #[must_use]
    pub fn second_ms(&self) -> u64 {
        self.task.second_ms
    }

    /// Measures `round` as often as the task says, after a warm-up of the same
    /// kind; each round does `operations`.
    pub fn rounds(&mut self, operations: u64, mut round: impl FnMut()) {
        let rounds = self.task.rounds;
        for _ in 0..rounds.div_ceil(WARM_UP_SHARE) {
            round();
        }
        let meter = Meter::start();
        for _ in 0..rounds {
            round();
        }
        self.keep(operations * rounds, meter);
    }

    /// Measures `work` as the first thing that the process does: what a fresh
    /// program pays, page faults included.
    pub fn once<T>(&mut self, operations: u64, work: impl FnOnce() -> T) -> T {
        let meter = Meter::start();
        let result = std::hint::black_box(work());
        self.keep(operations, meter);
        result
    }

    /// Says how many bytes the program itself held at the peak.
    pub fn held(&mut self, bytes: usize) {
        self.live_kib = Some(bytes as u64 / 1024);
    }

    /// Says what was resident on average.
    pub fn averaged(&mut self, kib: u64) {
        self.average_kib = Some(kib);
    }

    /// Takes what is resident now, before any warm-up, for what was resident before the measured
    /// part.
    pub fn baseline(&mut self) -> u64 {
        *self.baseline_kib.insert(meter::resident_kib())
    }

    /// Says how resident memory went during a simulated service.
    pub fn service(&mut self, moments: Vec<Resident>) {
        self.resident = moments;
    }

    /// Adds times of single calls.
    pub fn latencies(&mut self, histogram: Histogram<u64>) {
        match &mut self.latency {
            Some(all) => all.add(histogram).expect("all histograms have the same bounds"),
            None => self.latency = Some(histogram),
        }
    }

    fn keep(&mut self, operations: u64, meter: Meter) {
        let Reading { wall_ns, user_ns, system_ns, minor_faults, major_faults, start_kib, cgroup_kib } =
            meter.stop();
        self.sample = Some(Sample {
            wall_ns,
            user_ns,
            system_ns,
            operations,
            minor_faults,
            major_faults,
            start_kib,
            cgroup_kib,
            ..Sample::default()
        });
    }

    /// What was measured; an error when the workload measured nothing.
    ///
    /// # Errors
    /// A workload that never handed over its part is a mistake in it.
    pub fn into_sample(self) -> Result<Sample, String> {
        let mut sample = self.sample.ok_or_else(|| format!("{} measured nothing", self.task.workload))?;
        sample.latency = self.latency.as_ref().map(latency::summary);
        sample.live_kib = self.live_kib;
        sample.average_kib = self.average_kib;
        sample.start_kib = self.baseline_kib.unwrap_or(sample.start_kib);
        sample.resident = self.resident;
        Ok(sample)
    }
}
