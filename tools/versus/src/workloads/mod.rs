//! What is measured. Each workload imitates a kind of program, and says which.

mod batches;
mod churn;
mod collections;
mod fragmentation;
mod growth;
mod handoff;
mod jobs;
mod large;
mod latency;
mod live_set;
mod pairs;
mod parsing;
mod replay;
mod server;
mod sharing;
mod sizes;
mod stress;
mod text;
mod threads;

pub use replay::replay_of;
use serde::{Deserialize, Serialize};

use crate::bench::Bench;

/// One workload.
pub struct Workload {
    /// Its name: group, slash, what it does.
    pub name: String,
    /// The kind of program that it imitates.
    pub imitates: &'static str,
    /// How many threads it runs on.
    pub crew: Crew,
    /// What it is judged by.
    pub judged: Judged,
    /// How long it runs.
    pub length: Length,
    /// Whether a quick run has it.
    pub presence: Presence,
    /// The work itself.
    pub body: Box<dyn Fn(&mut Bench)>,
}

/// How many threads a workload runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crew {
    /// One.
    One,
    /// A row for each number of threads asked for.
    Each,
}

/// What a workload is judged by, besides its peak memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Judged {
    /// Time.
    Time,
    /// The slowest calls.
    Tail,
    /// Time and average memory: the replay of a recording.
    Recording,
    /// Memory only. Such workloads mostly sleep, so all peers run side by side.
    Memory,
}

/// How long a workload runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// As many rounds as take the time that a run should.
    Calibrated,
    /// One round, whatever it takes: its size is its point.
    Fixed,
}

/// Whether a quick run has a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// In every run.
    Always,
    /// In full runs only.
    FullOnly,
}

impl Workload {
    /// A calibrated single-threaded workload judged by time, in every run.
    fn new(name: impl Into<String>, imitates: &'static str, body: impl Fn(&mut Bench) + 'static) -> Self {
        Self {
            name: name.into(),
            imitates,
            crew: Crew::One,
            judged: Judged::Time,
            length: Length::Calibrated,
            presence: Presence::Always,
            body: Box::new(body),
        }
    }

    fn on_threads(self) -> Self {
        Self { crew: Crew::Each, ..self }
    }

    fn judged_by(self, judged: Judged) -> Self {
        Self { judged, ..self }
    }

    fn fixed(self) -> Self {
        Self { length: Length::Fixed, ..self }
    }

    fn full_only(self) -> Self {
        Self { presence: Presence::FullOnly, ..self }
    }

    /// The part of the name before the slash.
    #[must_use]
    pub fn group(&self) -> &str {
        self.name.split('/').next().unwrap_or(&self.name)
    }
}

/// Every workload, in the order of the report.
#[must_use]
pub fn all() -> Vec<Workload> {
    [
        pairs::workloads(),
        batches::workloads(),
        large::workloads(),
        growth::workloads(),
        collections::workloads(),
        parsing::workloads(),
        churn::workloads(),
        server::workloads(),
        handoff::workloads(),
        stress::workloads(),
        threads::workloads(),
        sharing::workloads(),
        jobs::workloads(),
        live_set::workloads(),
        fragmentation::workloads(),
        latency::workloads(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The workload of that name.
#[must_use]
pub fn find(name: &str) -> Option<Workload> {
    all().into_iter().find(|workload| workload.name == name)
}
