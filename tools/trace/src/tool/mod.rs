//! The program.
//!
//! | room | what is in it |
//! | --- | --- |
//! | [`cli`] | arguments |
//! | [`record`], [`building`] | a program under the recorder, and the library that is preloaded |
//! | [`pack`] | what processes have written, as packed files |
//! | [`show`], [`page`], [`plots`], [`waste`] | what a trace amounts to, for a terminal and as a page |
//! | [`advise`] | a trace replayed with other options |
//! | [`agree`] | a trace's replay against the program itself |

mod advise;
mod agree;
mod building;
mod cli;
mod pack;
mod page;
mod plots;
mod record;
mod show;
mod text;
mod waste;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::{fs, io};

use clap::Parser;
use freestone_trace::format::{self, Flaw, Trace};

use cli::{Cli, Command};

/// Exit status of wrong arguments and bad files.
const BAD: u8 = 2;

/// Runs the program.
pub(crate) fn main() -> ExitCode {
    // Wrong arguments end here, with a message and exit status 2.
    let done = match Cli::parse().command {
        Command::Record(arguments) => record::run(&arguments),
        Command::Pack(arguments) => pack::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Show(arguments) => show::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Advise(arguments) => advise::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Agree(arguments) => agree::run(&arguments).map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error| {
        if error.chain().any(is_broken_pipe) {
            // The reader has read enough.
            return ExitCode::SUCCESS;
        }
        eprintln!("error: {error:#}");
        let bad = error.chain().any(|cause| cause.is::<Flaw>() || cause.is::<Unreadable>());
        if bad { ExitCode::from(BAD) } else { ExitCode::FAILURE }
    })
}

fn is_broken_pipe(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Prints a line. Not by `println!`, which panics when nobody reads any more.
fn say(line: impl std::fmt::Display) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}

/// A file that cannot be opened or read.
#[derive(Debug)]
struct Unreadable(io::Error);

impl std::fmt::Display for Unreadable {
    fn fmt(&self, to: &mut std::fmt::Formatter) -> std::fmt::Result {
        self.0.fmt(to)
    }
}

impl std::error::Error for Unreadable {}

/// The trace in a file. The error names the file.
fn read(path: &Path) -> anyhow::Result<Trace> {
    let named = || path.display().to_string();
    let file = fs::read(path).map_err(|error| anyhow::Error::new(Unreadable(error)).context(named()))?;
    format::read(&file).map_err(|flaw| anyhow::Error::new(flaw).context(named()))
}
