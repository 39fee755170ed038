//! What a child tells its parent: one line of JSON.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::switch::Side;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) side: Side,
    pub(crate) findings: Findings,
    pub(crate) cost: Cost,
}

/// What the index holds: the same on both sides, or one of them is wrong.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Findings {
    pub(crate) files: u64,
    /// Files that were there for the survey, but not for the child.
    pub(crate) lost_files: u64,
    pub(crate) bytes: u64,
    pub(crate) words: u64,
    pub(crate) distinct_words: u64,
    /// Checksum of all words, files and positions.
    pub(crate) digest: u64,
    /// Where the word asked for occurs; empty if none was asked for.
    pub(crate) places: Vec<Place>,
}

/// A file with the word asked for.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) file: String,
    pub(crate) positions: Vec<u32>,
}

/// What it took.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// Reading, indexing and merging.
    pub(crate) building: Duration,
    /// Dropping the whole index.
    pub(crate) freeing: Duration,
    /// Processor time of all threads, the kernel's included.
    pub(crate) cpu: Duration,
    pub(crate) page_faults: u64,
    /// Highest resident size of the process; none where the kernel doesn't say.
    pub(crate) peak_bytes: Option<u64>,
    /// Resident size when the index was gone again.
    pub(crate) left_bytes: Option<u64>,
}

impl Cost {
    pub(crate) fn wall(&self) -> Duration {
        self.building + self.freeing
    }
}
