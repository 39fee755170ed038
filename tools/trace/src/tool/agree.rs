//! Whether the replay of a program ranks allocators as the program itself does: both run with the
//! same libraries preloaded.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::mem::MaybeUninit;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};
use comfy_table::{CellAlignment, Table, presets};
use freestone_trace::script;
use freestone_trace::steps::Steps;
use serde::Deserialize;
use serde_json::json;

use super::cli::Agree;
use super::text::{bytes, time};
use super::{building, read, say};

/// An allocator, and what is preloaded for it; nothing for the system's.
struct Library {
    name: String,
    path: Option<PathBuf>,
}

/// What one run took.
#[derive(Debug, Clone, Copy)]
struct Cost {
    processor_ns: f64,
    peak_kib: f64,
}

/// What the peer says of a replay; it says more.
#[derive(Deserialize)]
struct Sample {
    user_ns: u64,
    system_ns: u64,
    peak_kib: u64,
}

/// Runs `agree`.
pub(crate) fn run(arguments: &Agree) -> Result<()> {
    let libraries = libraries(arguments)?;
    let script = tempfile::NamedTempFile::new().context("a temporary file")?;
    let steps = Steps::of(&read(&arguments.file)?);
    fs::write(script.path(), script::compile(&steps)).context("the script")?;
    let replay = Replay { peer: building::system_peer()?, script: script.path(), threads: steps.threads };
    drop(steps);
    forget_peak();
    let mut costs = vec![(Vec::new(), Vec::new()); libraries.len()];
    for repetition in 0..usize::from(arguments.repeat) {
        for turn in 0..libraries.len() {
            // Another one first each time.
            let place = (repetition + turn) % libraries.len();
            let sample = replay.run(&libraries[place])?;
            costs[place].0.push(growth(&arguments.program, &libraries[place])?);
            costs[place].1.push(Cost {
                processor_ns: (sample.user_ns + sample.system_ns) as f64,
                peak_kib: sample.peak_kib as f64,
            });
        }
    }
    let figures: Vec<[Cost; 2]> = costs.iter().map(|(own, again)| [figure(own), figure(again)]).collect();
    say(table(&libraries, &figures))?;
    for (what, metric) in [("time", time_of as fn(&Cost) -> f64), ("peak memory", memory_of)] {
        let side = |side: usize| figures.iter().map(|costs| metric(&costs[side])).collect::<Vec<_>>();
        say(format_args!("rank correlation, {what}: {:.2}", spearman(&side(0), &side(1))))?;
    }
    Ok(())
}

fn time_of(cost: &Cost) -> f64 {
    cost.processor_ns
}

fn memory_of(cost: &Cost) -> f64 {
    cost.peak_kib
}

/// The system's allocator, Freestone, and those that were named.
fn libraries(arguments: &Agree) -> Result<Vec<Library>> {
    let mut libraries = vec![
        Library { name: "system".to_owned(), path: None },
        Library { name: "freestone".to_owned(), path: Some(building::preload()?) },
    ];
    for named in &arguments.library {
        let (name, path) = named.split_once('=').context("a library is NAME=PATH")?;
        let path = PathBuf::from(path);
        if !path.is_file() {
            bail!("no library for {name} at {}", path.display());
        }
        libraries.push(Library { name: name.to_owned(), path: Some(path) });
    }
    Ok(libraries)
}

/// Makes this process small again, and the kernel forget that it was not (proc(5), `clear_refs`): a
/// child's peak begins with its parent's.
fn forget_peak() {
    // SAFETY: may be called at any time, by any thread.
    unsafe { libc::malloc_trim(0) };
    let _ = fs::write("/proc/self/clear_refs", "5");
}

struct Replay<'a> {
    peer: PathBuf,
    script: &'a Path,
    threads: u32,
}

impl Replay<'_> {
    fn run(&self, library: &Library) -> Result<Sample> {
        let task = json!({
            "workload": "trace", "seed": 0, "threads": self.threads, "rounds": 1, "second_ms": 1000,
            "recording": { "script": self.script, "touch": "all" },
        });
        let mut command = Command::new(&self.peer);
        preload(&mut command, library).arg(task.to_string()).stderr(Stdio::inherit());
        let output = command.output().with_context(|| self.peer.display().to_string())?;
        if !output.status.success() {
            bail!("the replay failed on {}", library.name);
        }
        serde_json::from_slice(&output.stdout).context("what the replay says")
    }
}

fn preload<'a>(command: &'a mut Command, library: &Library) -> &'a mut Command {
    match &library.path {
        Some(path) => command.env("LD_PRELOAD", path),
        None => command.env_remove("LD_PRELOAD"),
    }
}

/// Does nothing, with a C library's start and end.
const IDLE: &str = "true";

/// What the program takes; of memory, what it takes beyond a program that does nothing. The
/// replay's figure leaves out what was there before it, too.
fn growth(arguments: &[OsString], library: &Library) -> Result<Cost> {
    let idle = program(&[IDLE.into()], library)?;
    let cost = program(arguments, library)?;
    Ok(Cost { peak_kib: (cost.peak_kib - idle.peak_kib).max(0.0), ..cost })
}

/// Runs a program, silently.
fn program(program: &[OsString], library: &Library) -> Result<Cost> {
    let mut command = Command::new::<&OsStr>(&program[0]);
    preload(&mut command, library).args(&program[1..]).stdin(Stdio::null()).stdout(Stdio::null());
    let child = command.spawn().with_context(|| program[0].to_string_lossy().into_owned())?;
    let (mut status, mut usage) = (0, MaybeUninit::<libc::rusage>::uninit());
    // SAFETY: the pointers are to live values, and nobody else waits for the child.
    let got = unsafe { libc::wait4(child.id() as i32, &raw mut status, 0, usage.as_mut_ptr()) };
    if got < 0 {
        bail!("waiting for the program failed");
    }
    let status = ExitStatus::from_raw(status);
    if !status.success() {
        bail!("the program ended with {status} on {}", library.name);
    }
    // SAFETY: the call has filled it.
    let usage = unsafe { usage.assume_init() };
    let ns = |time: libc::timeval| time.tv_sec as f64 * 1e9 + time.tv_usec as f64 * 1e3;
    Ok(Cost { processor_ns: ns(usage.ru_utime) + ns(usage.ru_stime), peak_kib: usage.ru_maxrss as f64 })
}

/// The least processor time, as whatever else runs only adds to it, and the median of the peaks.
fn figure(costs: &[Cost]) -> Cost {
    let sorted = |metric: fn(&Cost) -> f64| {
        let mut values: Vec<f64> = costs.iter().map(metric).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    Cost { processor_ns: sorted(time_of)[0], peak_kib: sorted(memory_of)[costs.len() / 2] }
}

fn table(libraries: &[Library], figures: &[[Cost; 2]]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["allocator", "program's time", "replay's time", "program's peak", "replay's peak"]);
    for (library, [program, replay]) in libraries.iter().zip(figures) {
        table.add_row([
            library.name.clone(),
            time(program.processor_ns),
            time(replay.processor_ns),
            bytes(program.peak_kib * 1024.0),
            bytes(replay.peak_kib * 1024.0),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Spearman's rank correlation: that of the ranks.
fn spearman(one: &[f64], other: &[f64]) -> f64 {
    let (one, other) = (ranks(one), ranks(other));
    let mean = (one.len() as f64 + 1.0) / 2.0;
    let product = |left: &[f64], right: &[f64]| -> f64 {
        left.iter().zip(right).map(|(left, right)| (left - mean) * (right - mean)).sum()
    };
    product(&one, &other) / (product(&one, &one) * product(&other, &other)).sqrt()
}

/// The rank of each value from 1 up; equal ones share the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let rank = |value: f64| {
        let below = values.iter().filter(|&&other| other < value).count() as f64;
        let equal = values.iter().filter(|&&other| other == value).count() as f64;
        below + (equal + 1.0) / 2.0
    };
    values.iter().map(|&value| rank(value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_orders_correlate_fully_and_opposite_ones_inversely() {
        assert_eq!(spearman(&[1.0, 2.0, 3.0], &[10.0, 20.0, 900.0]), 1.0);
        assert_eq!(spearman(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]), -1.0);
    }

    #[test]
    fn equal_values_share_their_rank() {
        assert_eq!(ranks(&[5.0, 1.0, 5.0]), [2.5, 1.0, 2.5]);
    }
}
