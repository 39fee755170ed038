//! A program under the recorder.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::{Context, Result};
use freestone_trace::tape;

use super::building;
use super::cli::Record;
use super::pack;

/// What the kernel's shell adds to a signal's number for an exit status.
const KILLED_BY: i32 = 128;

/// Exit status of a program that cannot be run, as shells have it.
const NOT_RUN: u8 = 127;

/// Runs the program, packs what it left, and ends as it did.
pub(crate) fn run(arguments: &Record) -> Result<ExitCode> {
    let output = arguments.output.clone().unwrap_or_else(|| named_after(&arguments.program[0]));
    let folder = staging(&output)?;
    let mut command = Command::new(&arguments.program[0]);
    command.args(&arguments.program[1..]);
    if arguments.built_in {
        command.env(name(tape::BUILT_IN), folder.path());
    } else {
        command.env(name(tape::PRELOADED), folder.path()).env("LD_PRELOAD", preloads(&building::library()?));
    }
    let status = match wait(&mut command) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("error: {}: {error}", arguments.program[0].to_string_lossy());
            return Ok(ExitCode::from(NOT_RUN));
        }
    };
    pack::folder(folder.path(), &output, arguments.all, arguments.at_most)?;
    Ok(ExitCode::from(as_code(status)))
}

/// A folder beside the output: recordings are as large as what is recorded.
fn staging(output: &Path) -> Result<tempfile::TempDir> {
    let beside = std::path::absolute(output).context("the output's path")?;
    let beside = beside.parent().context("the output lies in no folder")?;
    tempfile::Builder::new()
        .prefix("recording-")
        .tempdir_in(beside)
        .with_context(|| format!("a folder for the recording in {}", beside.display()))
}

/// The program's name with another end, in this folder.
fn named_after(program: &OsString) -> PathBuf {
    let mut name = Path::new(program).file_name().unwrap_or(program).to_owned();
    name.push(".trace");
    name.into()
}

fn name(variable: &std::ffi::CStr) -> &str {
    variable.to_str().unwrap_or_default()
}

/// The library before whatever else is preloaded.
fn preloads(library: &Path) -> OsString {
    let mut all = library.as_os_str().to_owned();
    if let Some(others) = env::var_os("LD_PRELOAD").filter(|others| !others.is_empty()) {
        all.push(" ");
        all.push(others);
    }
    all
}

/// Runs `command` to its end. What the keyboard sends is for the program; this one has work left to
/// do.
fn wait(command: &mut Command) -> io::Result<ExitStatus> {
    // SAFETY: sets how this process takes a signal.
    let [interrupt, quit] =
        [libc::SIGINT, libc::SIGQUIT].map(|signal| unsafe { libc::signal(signal, libc::SIG_IGN) });
    // SAFETY: signal(2) may be called between fork and exec.
    unsafe {
        command.pre_exec(move || {
            libc::signal(libc::SIGINT, interrupt);
            libc::signal(libc::SIGQUIT, quit);
            Ok(())
        });
    }
    command.status()
}

/// The status as a shell would report it.
fn as_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| Some(KILLED_BY + status.signal()?)).unwrap_or(1);
    u8::try_from(code).unwrap_or(1)
}
