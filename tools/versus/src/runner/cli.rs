//! Arguments, and what is wrong with them.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use freestone_trace::script::Touch;

use super::roster::{self, Candidate};
use super::rows::{self, Row};
use super::stats;
use super::traces::Traces;

/// Measures Freestone against its peers on this machine, honestly.
#[derive(Debug, Parser)]
#[command(version, about)]
pub(crate) struct Cli {
    /// A shorter run (under 3 minutes on 2 cores): fewer rows, shorter samples
    #[arg(long)]
    quick: bool,

    /// Only workloads whose name contains one of these
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    only: Vec<String>,

    /// Compare with these only: names, "self" for a byte-identical copy of
    /// Freestone, or NAME=PATH for a binary built earlier
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    peers: Vec<String>,

    /// Replay these recordings instead of the workloads, written by freestone-trace
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["only", "list"])]
    trace: Vec<PathBuf>,

    /// How much of each recorded block is written, and read before its free: none, first (a cache
    /// line), all
    #[arg(long, value_name = "HOW", default_value = "all", value_parser = str::parse::<Touch>)]
    touch: Touch,

    /// Numbers of threads for the workloads that have several
    /// [default: 1,2,4,8,16; quick: 4]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Vec<u16>,

    /// Samples of each row and allocator [default: 6; quick: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    repeat: Option<u16>,

    /// Print the whole report as JSON instead of a table
    #[arg(long)]
    json: bool,

    /// Build the peers with link-time optimisation over all crates
    #[arg(long)]
    lto: bool,

    /// Seed of every random choice
    #[arg(long, default_value_t = 42)]
    seed: u64,

    /// Ratio beyond which a row is lost
    #[arg(long, default_value_t = 1.05, value_parser = bound)]
    bound: f64,

    /// Folder that the report is written to
    #[arg(long, value_name = "FOLDER", default_value = "report")]
    output: PathBuf,

    /// Say what the workloads are and what each imitates, and end
    #[arg(long)]
    pub(crate) list: bool,
}

fn bound(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(bound) if (1.0..=100.0).contains(&bound) => Ok(bound),
        _ => Err("a bound is a ratio from 1 up".to_owned()),
    }
}

/// What the user asked for, checked.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Who is measured, the subject first.
    pub(crate) candidates: Vec<Candidate>,
    /// What is measured.
    pub(crate) rows: Vec<Row>,
    /// The scripts of recordings, which are there as long as this is.
    #[expect(dead_code, reason = "held for its files")]
    pub(crate) traces: Traces,
    /// How thoroughly.
    pub(crate) mode: Mode,
    /// Samples of each row and allocator.
    pub(crate) repeat: usize,
    /// How the peers are linked.
    pub(crate) linking: Linking,
    /// Seed of every random choice.
    pub(crate) seed: u64,
    /// Ratio beyond which a row is lost.
    pub(crate) bound: f64,
    /// What goes to standard output.
    pub(crate) output: Output,
    /// Where the report goes.
    pub(crate) folder: PathBuf,
}

/// How thoroughly is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Everything, long enough to judge.
    Full,
    /// A selection, as an indication.
    Quick,
}

impl Mode {
    /// How long a calibrated sample takes.
    pub(crate) fn sample_length(self) -> Duration {
        match self {
            Self::Full => Duration::from_millis(250),
            Self::Quick => Duration::from_millis(60),
        }
    }

    /// Real milliseconds of a simulated second. A quick run compresses time,
    /// which is unkind to allocators that give memory back after a while.
    pub(crate) fn second_ms(self) -> u64 {
        match self {
            Self::Full => 1000,
            Self::Quick => 50,
        }
    }

    /// Memory that is touched and freed before measuring: more than any row of
    /// this mode takes, all peers of a side-by-side row together.
    pub(crate) fn memory_to_warm(self) -> usize {
        match self {
            Self::Full => 5 << 30,
            Self::Quick => 3 << 30,
        }
    }

    /// How often a row near a bound may be measured, for each time that all are.
    pub(crate) fn most_repeats(self) -> usize {
        match self {
            Self::Full => 2,
            Self::Quick => 1,
        }
    }

    fn repeat(self) -> usize {
        match self {
            Self::Full => stats::SAMPLES_FOR_95,
            Self::Quick => 3,
        }
    }

    fn threads(self) -> &'static [usize] {
        match self {
            Self::Full => &[1, 2, 4, 8, 16],
            Self::Quick => &[4],
        }
    }
}

/// How the peers are linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Linking {
    /// Cargo's release profile as it stands: crates are not inlined into one
    /// another except where marked.
    Plain,
    /// Everything in Rust is optimised together. Peers in C stay calls.
    Lto,
}

/// What goes to standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// A table for people.
    Table,
    /// The report for programs.
    Json,
}

impl Cli {
    /// Checks what clap can't.
    pub(crate) fn plan(self) -> Result<Plan, String> {
        let mode = if self.quick { Mode::Quick } else { Mode::Full };
        let threads: Vec<usize> = if self.threads.is_empty() {
            mode.threads().to_vec()
        } else {
            self.threads.iter().map(|&threads| threads.into()).collect()
        };
        let traces = Traces::new(self.touch)?;
        let rows = if self.trace.is_empty() {
            rows::choose(&self.only, &threads, mode, &traces)?
        } else {
            self.trace.iter().map(|path| traces.row(path)).collect::<Result<_, _>>()?
        };
        Ok(Plan {
            candidates: roster::choose(&self.peers, mode)?,
            rows,
            traces,
            mode,
            repeat: self.repeat.map_or(mode.repeat(), usize::from),
            linking: if self.lto { Linking::Lto } else { Linking::Plain },
            seed: self.seed,
            bound: self.bound,
            output: if self.json { Output::Json } else { Output::Table },
            folder: self.output,
        })
    }
}
