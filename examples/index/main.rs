//! The main job: an inverted index of real text, built once on Freestone and once on the system
//! allocator.
//!
//! Imitates a search engine's indexer: word → files and positions, in `String`, `Vec`, `HashMap`
//! and `BTreeMap`, with one worker a core and the workers' results merged across threads.
//!
//! ```text
//! cargo run --release --example index                      # the Rust sources and documentation on this machine
//! cargo run --release --example index -- DIRECTORY --max-mb 64 --find allocator
//! ```
//!
//! The parent surveys the files (`survey`), which also warms the page cache for both sides alike,
//! and starts one child process a side, one after the other (`parent`). A child is this same
//! program; it learns from its environment which allocator it runs on (`switch`), builds the index
//! (`inverted`), frees it and reports what that took (`child`, `report`). The parent compares what
//! was found and prints both costs (`table`).

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use switch::{Side, Switch};

mod child;
mod inverted;
mod parent;
mod plan;
mod report;
mod survey;
mod switch;
mod table;

#[global_allocator]
static ALLOCATOR: Switch = Switch::new();

/// Builds an inverted index of every text file below a directory, on Freestone and on the system
/// allocator.
#[derive(Parser, Debug)]
#[command(name = "index")]
struct Arguments {
    /// The directory to index [default: installed crates and Rust's own documentation and sources]
    directory: Option<PathBuf>,

    /// Stop after this much text, in MiB
    // Below 4 GiB a position in a file always fits the index's 32 bits.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..4096))]
    max_mb: u64,

    /// Show where this word occurs
    #[arg(long, value_name = "WORD")]
    find: Option<String>,

    /// Run each side this often, taking turns, and show the run of median time
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,

    /// How the result is written
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Table,
    Json,
}

/// Why the program ends without a result.
#[derive(Debug)]
enum Failure {
    /// The directory asked for can't be read.
    Directory(PathBuf, io::Error),
    /// Something went wrong on the way.
    Job(String),
}

impl Failure {
    /// A closure for `map_err`: what was being done, then the reason.
    fn during<E: fmt::Display>(doing: &str) -> impl FnOnce(E) -> Self + '_ {
        move |reason| Self::Job(format!("{doing}: {reason}"))
    }

    /// 2, as for any other bad argument, or 1.
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Directory(..) => ExitCode::from(2),
            Self::Job(_) => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path, reason) => write!(f, "can't read {}: {reason}", path.display()),
            Self::Job(what) => f.write_str(what),
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match Side::of_this_process() {
        Some(side) => child::run(side, arguments.find.as_deref()),
        None => parent::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // With stderr gone too, the exit code has to do.
            let _ = writeln!(io::stderr(), "index: {failure}");
            failure.exit_code()
        }
    }
}
