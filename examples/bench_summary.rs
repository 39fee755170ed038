//! The benches' last figures as a table: one row a workload and size, Freestone's time over the
//! system's, who won.
//!
//! Imitates `critcmp`, for the two sides of one run.
//!
//! ```text
//! cargo bench --bench alloc
//! cargo run --release --example bench_summary              # reads target/criterion
//! cargo run --release --example bench_summary -- DIRECTORY
//! ```
//!
//! A workload that is not run any more keeps its row until the directory is removed.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use comfy_table::{CellAlignment, Table, presets};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use walkdir::WalkDir;

/// Shows how Freestone did against the system allocator in the last run of the benches.
#[derive(Parser, Debug)]
#[command(name = "bench_summary")]
struct Arguments {
    /// Criterion's directory [default: the one beside this program]
    directory: Option<PathBuf>,
}

/// What `benchmark.json` says: whose figures these are.
#[derive(Debug, Deserialize)]
struct Benchmark {
    group_id: String,
    function_id: Option<String>,
    value_str: Option<String>,
}

/// What `estimates.json` says, in nanoseconds an iteration. The median, since an outlier is the
/// machine's doing.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Estimate {
    point_estimate: f64,
    confidence_interval: Interval,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Interval {
    lower_bound: f64,
    upper_bound: f64,
}

/// One row: both sides, as far as they have been run.
#[derive(Debug, Default)]
struct Row {
    freestone: Option<Estimate>,
    system: Option<Estimate>,
}

/// A workload's name and the size or kind it was run with.
type Workload = (String, String);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Won,
    /// The two confidence intervals overlap, or the medians differ by no more than [`NOISE`].
    Level,
    Lost,
}

/// What an allocator run against itself shows: its confidence intervals are narrower than its drift
/// between two runs.
const NOISE: f64 = 0.02;

impl Verdict {
    fn on(freestone: &Estimate, system: &Estimate) -> Self {
        let (ours, theirs) = (freestone.confidence_interval, system.confidence_interval);
        let ratio = freestone.point_estimate / system.point_estimate;
        if (ratio - 1.0).abs() <= NOISE {
            Self::Level
        } else if ours.upper_bound < theirs.lower_bound {
            Self::Won
        } else if ours.lower_bound > theirs.upper_bound {
            Self::Lost
        } else {
            Self::Level
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Won => "won",
            Self::Level => "level",
            Self::Lost => "LOST",
        })
    }
}

fn main() -> ExitCode {
    let directory = Arguments::parse().directory.or_else(criterion_directory);
    let result = match directory {
        Some(directory) => read_rows(&directory).and_then(|rows| show(&rows, &directory)),
        None => Err(io::Error::other("no directory to read")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            // With stderr gone too, the exit code has to do.
            let _ = writeln!(io::stderr(), "bench_summary: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// `target/criterion`, seen from `target/<profile>/examples/bench_summary`.
fn criterion_directory() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    Some(program.ancestors().nth(3)?.join("criterion"))
}

fn read_rows(directory: &Path) -> io::Result<BTreeMap<Workload, Row>> {
    let mut rows = BTreeMap::<Workload, Row>::new();
    for entry in WalkDir::new(directory) {
        let entry = entry?;
        // Beside `new` criterion keeps `base`, an earlier run with files of the same names.
        if !entry.path().ends_with("new/benchmark.json") {
            continue;
        }
        let benchmark: Benchmark = read_json(entry.path())?;
        let estimates: Estimates = read_json(&entry.path().with_file_name("estimates.json"))?;
        let workload = (benchmark.group_id, benchmark.value_str.unwrap_or_default());
        let row = rows.entry(workload).or_default();
        match benchmark.function_id.as_deref() {
            Some("freestone") => row.freestone = Some(estimates.median),
            Some("system") => row.system = Some(estimates.median),
            _ => {}
        }
    }
    Ok(rows)
}

fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    let file = BufReader::new(File::open(path)?);
    serde_json::from_reader(file).map_err(|reason| io::Error::other(format!("{}: {reason}", path.display())))
}

fn show(rows: &BTreeMap<Workload, Row>, directory: &Path) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header([
        "workload",
        "size",
        "Freestone",
        "system",
        "Freestone/system",
        "",
    ]);
    let mut verdicts = Vec::new();
    for ((workload, size), row) in by_size(rows) {
        let shown = |side: Option<Estimate>| {
            side.map_or_else(|| "not run".to_owned(), |time| show_time(time.point_estimate))
        };
        let (ratio, verdict) = match (&row.freestone, &row.system) {
            (Some(ours), Some(theirs)) => {
                let verdict = Verdict::on(ours, theirs);
                verdicts.push(verdict);
                let ratio = ours.point_estimate / theirs.point_estimate;
                (format!("{ratio:.2}"), verdict.to_string())
            }
            _ => Default::default(),
        };
        table.add_row([workload, size, &shown(row.freestone), &shown(row.system), &ratio, &verdict]);
    }
    for column in table.column_iter_mut().skip(1).take(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }

    let count = |wanted| verdicts.iter().filter(|&&verdict| verdict == wanted).count();
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "Medians in {}\n{table}", directory.display())?;
    writeln!(
        stdout,
        "{} won, {} level (95% intervals overlap, or within {:.0}%), {} lost",
        count(Verdict::Won),
        count(Verdict::Level),
        NOISE * 100.0,
        count(Verdict::Lost)
    )
}

/// The rows by workload, those of each from small to large.
fn by_size(rows: &BTreeMap<Workload, Row>) -> Vec<(&Workload, &Row)> {
    let mut rows: Vec<_> = rows.iter().collect();
    rows.sort_by_key(|((workload, size), _)| (workload, bytes_of(size)));
    rows
}

/// What a label such as `24B`, `4KiB` or `8B-1MiB` stands for at the most; none for one that is no
/// size.
fn bytes_of(label: &str) -> Option<u64> {
    let largest = label.rsplit('-').next()?;
    let unit_at = largest.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = largest.split_at(unit_at);
    let unit_bytes = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit_bytes)
}

fn show_time(nanoseconds: f64) -> String {
    match nanoseconds {
        ns if ns < 1e3 => format!("{ns:.1} ns"),
        ns if ns < 1e6 => format!("{:.1} µs", ns / 1e3),
        ns => format!("{:.1} ms", ns / 1e6),
    }
}
