//! Arguments.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use freestone_trace::script::Touch;

/// Records what a program asks of its allocator, shows it, and replays it with other options.
///
/// `freestone-versus --trace FILE` replays it on other allocators.
#[derive(Debug, Parser)]
#[command(version, about)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a program and record it. Its exit status is this program's
    Record(Record),
    /// Pack what recorded processes have left in a folder, or shorten a trace
    Pack(Pack),
    /// Say what a trace amounts to, in a table and as a page
    Show(Show),
    /// Replay a trace on Freestone with other options, and say which are worth setting
    Advise(Advise),
    /// Say whether the replay of a trace ranks allocators as the recorded program does
    Agree(Agree),
}

/// Arguments of `record`.
#[derive(Debug, Args)]
pub(crate) struct Record {
    /// Where the trace goes [default: the program's name with .trace]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Write a trace of every process, not only of that with the most calls
    #[arg(long)]
    pub(crate) all: bool,

    /// The program has freestone_trace::Recorder in it: preload nothing
    #[arg(long)]
    pub(crate) built_in: bool,

    /// Keep so many bytes of each trace at most, from its beginning
    #[arg(long, value_name = "BYTES")]
    pub(crate) at_most: Option<usize>,

    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) program: Vec<OsString>,
}

/// Arguments of `pack`.
#[derive(Debug, Args)]
pub(crate) struct Pack {
    /// A trace, or a folder of recordings
    pub(crate) from: PathBuf,

    /// Where the trace goes
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,

    /// Write a trace of every process, not only of that with the most calls
    #[arg(long)]
    pub(crate) all: bool,

    /// Keep so many bytes of each trace at most, from its beginning
    #[arg(long, value_name = "BYTES")]
    pub(crate) at_most: Option<usize>,
}

/// Arguments of `show`.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The trace
    pub(crate) file: PathBuf,

    /// Also write a page with plots
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

/// Arguments of `advise`.
#[derive(Debug, Args)]
pub(crate) struct Advise {
    /// The trace
    pub(crate) file: PathBuf,

    /// How much of each block is written, and read before its free: none, first (a cache line), all
    #[arg(long, value_name = "HOW", default_value = "all", value_parser = str::parse::<Touch>)]
    pub(crate) touch: Touch,

    /// Replays with each set of options
    #[arg(long, value_name = "N", default_value_t = 11, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) repeat: u16,
}

/// Arguments of `agree`.
#[derive(Debug, Args)]
pub(crate) struct Agree {
    /// The trace of the program, whole
    pub(crate) file: PathBuf,

    /// Other allocators than the system's and Freestone: libraries to preload
    #[arg(long, value_name = "NAME=PATH")]
    pub(crate) library: Vec<String>,

    /// Runs with each allocator
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) repeat: u16,

    /// The program and its arguments
    #[arg(required = true, last = true)]
    pub(crate) program: Vec<OsString>,
}
