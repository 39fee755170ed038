//! The program: build the peers, run them in turns, judge, report.
//!
//! | room | what happens there |
//! | --- | --- |
//! | [`cli`] | arguments, and what is wrong with them |
//! | [`roster`] | who is measured |
//! | [`building`] | one binary an allocator |
//! | [`machine`], [`faults`] | what this machine is, and what a page fault costs on it |
//! | [`rows`] | what is measured, and how long |
//! | [`traces`] | recordings, compiled for replay |
//! | [`process`] | one fresh process |
//! | [`schedule`] | who runs when, and how often |
//! | [`results`] | everything that was measured |
//! | [`metric`], [`stats`], [`verdict`], [`targets`] | what it means |
//! | [`table`], [`markdown`], [`html`] | how it is told |

mod building;
mod cli;
mod faults;
mod html;
mod machine;
mod markdown;
mod metric;
mod process;
mod results;
mod roster;
mod rows;
mod schedule;
mod stats;
mod table;
mod targets;
mod traces;
mod verdict;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

use cli::{Cli, Output, Plan};
use results::Report;
use verdict::Findings;

/// Runs the program.
pub(crate) fn main() -> ExitCode {
    // Wrong arguments end here, with a message and exit status 2.
    let cli = Cli::parse();
    if cli.list {
        rows::list();
        return ExitCode::SUCCESS;
    }
    let plan = match cli.plan() {
        Ok(plan) => plan,
        Err(message) => {
            eprintln!("error: {message}\n\nFor more information, try '--help'.");
            return ExitCode::from(2);
        }
    };
    match measure(&plan) {
        Ok(report) if report.failures().next().is_none() => ExitCode::SUCCESS,
        Ok(report) => {
            for (row, peer, reason) in report.failures() {
                eprintln!("failed: {} on {peer}: {reason}", row.title());
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(plan: &Plan) -> Result<Report> {
    let roster = building::build(plan)?;
    let report = schedule::run(plan, roster)?;
    let findings = Findings::of(&report);
    write(&plan.folder, &report, &findings)
        .with_context(|| format!("writing to {}", plan.folder.display()))?;
    match plan.output {
        Output::Table => table::print(&report, &findings, &plan.folder),
        Output::Json => println!("{}", serde_json::to_string_pretty(&report)?),
    }
    Ok(report)
}

fn write(folder: &Path, report: &Report, findings: &Findings) -> Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("report.json"), serde_json::to_string_pretty(report)?)?;
    fs::write(folder.join("table.md"), markdown::page(report, findings))?;
    fs::write(folder.join("index.html"), html::page(report, findings)?)?;
    Ok(())
}
