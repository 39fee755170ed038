//! Surveys the text, runs both sides one after the other, checks that they found the same and shows
//! what each took.

use std::io::{self, BufWriter, Write};
use std::process::{Child, Command, Stdio};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::plan::{self, Entry};
use crate::report::Report;
use crate::survey::{self, End, Survey};
use crate::switch::{SIDE_VARIABLE, Side};
use crate::table;
use crate::{Arguments, Failure, Format};

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let roots = survey::roots(arguments.directory.as_deref())?;
    let limit = arguments.max_mb << 20;
    let progress = progress_bar("reading", limit);
    let survey = survey::survey(&roots, limit, &progress);
    progress.finish_and_clear();

    let comparison = compare(&survey, arguments)?;
    let mut stdout = io::stdout().lock();
    match arguments.format {
        Format::Table => {
            let roots: Vec<_> = roots.iter().map(|root| root.display()).collect();
            roots
                .iter()
                .try_for_each(|root| writeln!(stdout, "Text below {root}"))
                .and_then(|()| table::write(&comparison, arguments.find.as_deref(), &mut stdout))
        }
        Format::Json => serde_json::to_writer(&mut stdout, &comparison)
            .map_err(io::Error::from)
            .and_then(|()| writeln!(stdout)),
    }
    .map_err(Failure::during("writing the result"))
}

/// The bar for `bytes` of work; hidden where stderr is no terminal.
pub(crate) fn progress_bar(label: &'static str, bytes: u64) -> ProgressBar {
    let bar = ProgressBar::new(bytes).with_message(label);
    match ProgressStyle::with_template("{msg:>9} [{bar:40}] {bytes} of {total_bytes}, {elapsed}") {
        Ok(style) => bar.with_style(style.progress_chars("=> ")),
        Err(_) => bar,
    }
}

/// Both sides' reports on the same text.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    pub(crate) binary_files: u64,
    pub(crate) unreadable: u64,
    pub(crate) limit_reached: bool,
    pub(crate) freestone: Report,
    pub(crate) system: Report,
}

fn compare(survey: &Survey, arguments: &Arguments) -> Result<Comparison, Failure> {
    let mut freestone = Vec::new();
    let mut system = Vec::new();
    for round in 0..arguments.rounds {
        // Each side goes first in every other round: whatever the second gains or loses evens out.
        let mut order = Side::BOTH;
        order.rotate_left(usize::from(round % 2));
        for side in order {
            let report = run_side(side, &survey.entries, arguments.find.as_deref())?;
            match side {
                Side::Freestone => freestone.push(report),
                Side::System => system.push(report),
            }
        }
    }

    let findings = || freestone.iter().chain(&system).map(|run| &run.findings);
    if findings().zip(findings().skip(1)).any(|(a, b)| a != b) {
        let all: Vec<_> = findings().collect();
        return Err(Failure::Job(format!("the runs disagree on what is in the text: {all:#?}")));
    }
    Ok(Comparison {
        binary_files: survey.binary_files,
        unreadable: survey.unreadable,
        limit_reached: survey.end == End::LimitReached,
        freestone: median_run(freestone)?,
        system: median_run(system)?,
    })
}

/// Runs one side in a process of its own, so that its peak memory is its own.
fn run_side(side: Side, plan: &[Entry], find: Option<&str>) -> Result<Report, Failure> {
    let program = std::env::current_exe().map_err(Failure::during("finding this program"))?;
    let mut child = Command::new(program)
        .env(SIDE_VARIABLE, side.name())
        .args(find.map(|word| format!("--find={word}")))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(Failure::during("starting a child process"))?;

    let sent = send_plan(&mut child, plan);
    let output = child.wait_with_output().map_err(Failure::during("waiting for a child process"))?;
    if !output.status.success() {
        return Err(Failure::Job(format!("the child process on {} failed: {}", side.name(), output.status)));
    }
    sent.map_err(Failure::during("sending the plan"))?;
    serde_json::from_slice(&output.stdout).map_err(Failure::during("reading a child's report"))
}

/// Writes the plan and closes the pipe. The child reads all of it before it writes anything.
fn send_plan(child: &mut Child, plan: &[Entry]) -> io::Result<()> {
    match child.stdin.take() {
        Some(stdin) => plan::write_plan(plan, BufWriter::new(stdin)),
        None => Ok(()),
    }
}

/// The run of median wall time, with all its figures; of an even number the slower of the middle
/// two.
fn median_run(mut runs: Vec<Report>) -> Result<Report, Failure> {
    runs.sort_unstable_by_key(|run| run.cost.wall());
    let middle = runs.len() / 2;
    runs.into_iter().nth(middle).ok_or_else(|| Failure::Job("no run to show".to_owned()))
}
