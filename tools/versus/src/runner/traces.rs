//! Recordings, compiled for replay: the corpus, and those that the user names.

use std::fs;
use std::path::{Path, PathBuf};

use freestone_trace::format;
use freestone_trace::script::{self, Touch};
use freestone_trace::steps::Steps;
use freestone_versus::task::Recording;
use freestone_versus::workloads::Judged;
use tempfile::{NamedTempFile, TempDir};

use super::rows::Row;

/// The end of a recording's name.
const EXTENSION: &str = "trace";

/// The group of the rows that replay.
const GROUP: &str = "trace";

/// A folder of scripts, which goes with the value.
#[derive(Debug)]
pub(crate) struct Traces {
    scripts: TempDir,
    touch: Touch,
}

impl Traces {
    pub(crate) fn new(touch: Touch) -> Result<Self, String> {
        let scripts = tempfile::tempdir().map_err(|error| format!("a temporary folder: {error}"))?;
        Ok(Self { scripts, touch })
    }

    /// The rows of the corpus whose names are wanted.
    pub(crate) fn corpus(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<Row>, String> {
        corpus().iter().filter(|path| wanted(&name(path))).map(|path| self.row(path)).collect()
    }

    /// The row that replays the recording at `path`.
    pub(crate) fn row(&self, path: &Path) -> Result<Row, String> {
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let file = fs::read(path).map_err(|error| failed(&error))?;
        let trace = format::read(&file).map_err(|flaw| failed(&flaw))?;
        let steps = Steps::of(&trace);
        if steps.steps.is_empty() {
            return Err(failed(&"no call was recorded"));
        }
        // Two recordings in different folders may have one name.
        let script = NamedTempFile::new_in(&self.scripts).and_then(|file| Ok(file.keep()?.1));
        let script = script.map_err(|error| failed(&error))?;
        fs::write(&script, script::compile(&steps)).map_err(|error| failed(&error))?;
        Ok(Row {
            workload: name(path),
            group: GROUP.to_owned(),
            imitates: format!(
                "{}, recorded: {} calls by {} threads",
                steps.header.name,
                steps.steps.len(),
                steps.threads
            ),
            threads: steps.threads as usize,
            threaded: false,
            judged: Judged::Recording,
            calibrated: false,
            recording: Some(Recording { script, touch: self.touch.name().to_owned() }),
        })
    }
}

/// The names of the corpus' rows.
pub(crate) fn corpus_names() -> Vec<String> {
    corpus().iter().map(|path| name(path)).collect()
}

/// The recordings that come with the repository.
fn corpus() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../trace/corpus");
    let files = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let mut traces: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == EXTENSION)).collect();
    traces.sort();
    traces
}

fn name(path: &Path) -> String {
    format!("{GROUP}/{}", path.file_stem().unwrap_or_default().to_string_lossy())
}
