//! Everything that was measured, as `report.json` has it.

use std::collections::BTreeMap;

use freestone_versus::task::Sample;
use freestone_versus::workloads::Judged;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::building::{LeftOut, Peer};
use super::faults::FaultCosts;
use super::machine::Machine;
use super::roster::Role;
use super::rows::Row;
use super::verdict::Findings;

/// One run of the tool.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Seconds since 1970 when the run began.
    pub(crate) began: u64,
    pub(crate) seconds: u64,
    /// The arguments that it was given.
    pub(crate) command: String,
    pub(crate) mode: String,
    pub(crate) linking: String,
    pub(crate) seed: u64,
    /// Ratio beyond which a row is lost.
    pub(crate) bound: f64,
    /// Real milliseconds of one simulated second.
    pub(crate) second_ms: u64,
    pub(crate) machine: Machine,
    pub(crate) load_after: String,
    pub(crate) faults: FaultCosts,
    pub(crate) peers: Vec<Peer>,
    pub(crate) left_out: Vec<LeftOut>,
    pub(crate) rows: Vec<MeasuredRow>,
}

/// A row and what each allocator did on it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MeasuredRow {
    #[serde(flatten)]
    pub(crate) row: Row,
    /// Rounds in each sample, the same for all.
    pub(crate) rounds: u64,
    /// By name of the allocator.
    pub(crate) runs: BTreeMap<String, Runs>,
}

/// What one allocator did on one row.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Runs {
    /// By repetition, in which all allocators had their turn.
    pub(crate) samples: BTreeMap<usize, Sample>,
    /// Why there are no more.
    pub(crate) ended: Option<Ended>,
}

/// Why an allocator is not run again on a row.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Ended {
    /// It can't do this by its nature.
    Skipped,
    /// It failed.
    Failed(String),
}

impl Report {
    /// The names of the allocators with one of these roles.
    pub(crate) fn names(&self, roles: &[Role]) -> impl Iterator<Item = &str> {
        self.peers.iter().filter(|peer| roles.contains(&peer.role)).map(|peer| peer.name.as_str())
    }

    /// Every failure: row, allocator, reason.
    pub(crate) fn failures(&self) -> impl Iterator<Item = (&Row, &str, &str)> {
        self.rows.iter().flat_map(|measured| {
            measured.runs.iter().filter_map(|(peer, runs)| match &runs.ended {
                Some(Ended::Failed(reason)) => Some((&measured.row, peer.as_str(), reason.as_str())),
                _ => None,
            })
        })
    }

    /// The day of the run, as year-month-day.
    pub(crate) fn date(&self) -> String {
        i64::try_from(self.began)
            .ok()
            .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
            .map_or_else(String::new, |moment| moment.date().to_string())
    }

    /// The share of probability that the intervals of this run cover, at least.
    pub(crate) fn coverage(&self, findings: &Findings) -> f64 {
        findings
            .comparisons
            .iter()
            .filter(|found| self.rows[found.row].row.judged != Judged::Memory)
            .map(|found| found.ratio.coverage)
            .fold(1.0, f64::min)
    }
}

impl MeasuredRow {
    /// The row's name for people.
    pub(crate) fn title(&self) -> String {
        self.row.title()
    }
}
