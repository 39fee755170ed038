//! What is measured: a row is a workload on a number of threads.

use freestone_versus::task::Recording;
use freestone_versus::workloads::{self, Crew, Judged, Length, Presence, Workload};
use serde::{Deserialize, Serialize};

use super::cli::Mode;
use super::traces::{self, Traces};

/// A workload on a number of threads.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) workload: String,
    pub(crate) group: String,
    pub(crate) imitates: String,
    pub(crate) threads: usize,
    /// Whether there are rows of the same workload on other numbers of threads.
    pub(crate) threaded: bool,
    pub(crate) judged: Judged,
    #[serde(skip)]
    pub(crate) calibrated: bool,
    /// What is replayed, where the row is a recording.
    #[serde(skip)]
    pub(crate) recording: Option<Recording>,
}

impl Row {
    fn new(workload: &Workload, threads: usize) -> Self {
        Self {
            workload: workload.name.clone(),
            group: workload.group().to_owned(),
            imitates: workload.imitates.to_owned(),
            threads,
            threaded: workload.crew == Crew::Each,
            judged: workload.judged,
            calibrated: workload.length == Length::Calibrated,
            recording: None,
        }
    }

    /// The row's name for people.
    pub(crate) fn title(&self) -> String {
        if self.threaded { format!("{} ×{}", self.workload, self.threads) } else { self.workload.clone() }
    }
}

/// The rows of a run: those whose name contains one of `patterns`, or all.
/// Naming a workload that a quick run leaves out brings it back.
pub(crate) fn choose(
    patterns: &[String],
    threads: &[usize],
    mode: Mode,
    traces: &Traces,
) -> Result<Vec<Row>, String> {
    let named = |name: &str| patterns.iter().any(|pattern| name.contains(pattern.as_str()));
    let mut rows: Vec<Row> = workloads::all()
        .iter()
        .filter(|workload| {
            if patterns.is_empty() {
                mode == Mode::Full || workload.presence == Presence::Always
            } else {
                named(&workload.name)
            }
        })
        .flat_map(|workload| match workload.crew {
            Crew::One => vec![Row::new(workload, 1)],
            Crew::Each => threads.iter().map(|&threads| Row::new(workload, threads)).collect(),
        })
        .collect();
    // The corpus is for full runs, unless it is named.
    rows.extend(traces.corpus(|name| if patterns.is_empty() { mode == Mode::Full } else { named(name) })?);
    if rows.is_empty() {
        return Err(format!(
            "no workload has a name with '{}' in it; --list names them all",
            patterns.join("' or '")
        ));
    }
    Ok(rows)
}

/// Prints every workload and what it imitates.
pub(crate) fn list() {
    for workload in workloads::all() {
        println!("{:24} {}", workload.name, workload.imitates);
    }
    for name in traces::corpus_names() {
        println!("{name:24} a recorded program, replayed; its README says what it did");
    }
}
