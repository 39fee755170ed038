//! What a trace amounts to, for a terminal.

use std::fs;

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, Table, presets};
use freestone_trace::format::Kind;
use freestone_trace::steps::Steps;
use freestone_trace::summary::Summary;

use super::cli::Show;
use super::text::{bytes, count, percent, time};
use super::{page, read, say, waste};

/// Runs `show`.
pub(crate) fn run(arguments: &Show) -> Result<()> {
    let steps = Steps::of(&read(&arguments.file)?);
    let summary = Summary::of(&steps);
    say(pairs(&facts(&steps, &summary)))?;
    say(table(&SIZE_HEADER, &size_rows(&summary)))?;
    say(table(&WASTE_HEADER, &waste_rows(&summary)))?;
    if let Some(path) = &arguments.html {
        let page = page::page(&steps, &summary)?;
        fs::write(path, page).with_context(|| path.display().to_string())?;
        say(format_args!("written to {}", path.display()))?;
    }
    Ok(())
}

/// A kind of call for people.
fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Allocate => "malloc",
        Kind::Zeroed => "calloc",
        Kind::Aligned => "aligned",
        Kind::ZeroedAligned => "aligned, zeroed",
        Kind::Resize => "realloc",
        Kind::Free => "free",
        Kind::SizedFree => "sized free",
    }
}

/// What there is to say in a line each.
pub(crate) fn facts(steps: &Steps, summary: &Summary) -> Vec<(&'static str, String)> {
    let kinds: Vec<String> =
        summary.calls.iter().map(|(&kind, &calls)| format!("{} {}", count(calls), name(kind))).collect();
    let reallocs = summary.calls.get(&Kind::Resize).copied().unwrap_or(0);
    let allocations = u64::from(steps.objects);
    vec![
        ("program", format!("{}, process {}", steps.header.name, steps.header.process)),
        ("calls", format!("{}: {}", count(summary.all_calls()), kinds.join(", "))),
        ("threads", count(steps.threads.into())),
        ("time", time(summary.time as f64)),
        ("bytes requested", bytes(summary.requested as f64)),
        (
            "live bytes",
            format!(
                "peak {} after {} calls, average {}, end {}",
                bytes(summary.peak_bytes as f64),
                count(summary.peak_call),
                bytes(summary.average_bytes),
                bytes(summary.end_bytes as f64),
            ),
        ),
        (
            "live at the end",
            format!(
                "{} blocks, {} of those made",
                count(summary.end_objects),
                percent(summary.end_objects as f64, allocations as f64)
            ),
        ),
        ("lifetime", lifetimes(summary)),
        ("freed by another thread", percent(summary.frees_elsewhere as f64, summary.frees() as f64)),
        (
            "realloc",
            format!(
                "{} calls, {} of them to more bytes, on {} blocks, {} on one at most",
                count(reallocs),
                percent(summary.growths as f64, reallocs as f64),
                count(summary.resized_objects),
                count(summary.longest_chain),
            ),
        ),
        (
            "not understood",
            format!("{} frees of unknown blocks, {} frees missed", count(steps.foreign), count(steps.missed)),
        ),
    ]
}

/// Lifetimes in calls: half of the freed blocks, and nine in ten, were freed within so many.
fn lifetimes(summary: &Summary) -> String {
    let mut by_power = vec![0; summary.lifetimes.len()];
    for size in &summary.lifetimes {
        size.iter().enumerate().for_each(|(power, blocks)| by_power[power] += blocks);
    }
    let all: u64 = by_power.iter().sum();
    let within = |share: f64| {
        let mut sum = 0;
        let power = by_power.iter().position(|blocks| {
            sum += blocks;
            sum as f64 >= share * all as f64
        });
        count(1 << (power.unwrap_or(0) + 1))
    };
    format!("half within {} calls, 90% within {}", within(0.5), within(0.9))
}

pub(crate) const SIZE_HEADER: [&str; 6] =
    ["size", "requests", "share", "bytes", "share of bytes", "live at the peak"];

/// Sizes by powers of two.
pub(crate) fn size_rows(summary: &Summary) -> Vec<Vec<String>> {
    let all: u64 = summary.sizes.iter().map(|class| class.requests).sum();
    let rows = summary.sizes.iter().enumerate().filter(|(_, class)| class.requests > 0);
    rows.map(|(power, class)| {
        let low = if power == 0 { 0.0 } else { (1_u64 << power) as f64 };
        vec![
            format!("{} up", bytes(low)),
            count(class.requests),
            percent(class.requests as f64, all as f64),
            bytes(class.bytes as f64),
            percent(class.bytes as f64, summary.requested as f64),
            count(class.live_at_peak),
        ]
    })
    .collect()
}

pub(crate) const WASTE_HEADER: [&str; 3] = ["rounding up by", "all requests", "at the peak"];

/// What each allocator's size classes add.
pub(crate) fn waste_rows(summary: &Summary) -> Vec<Vec<String>> {
    waste::ALLOCATORS
        .iter()
        .map(|&(name, round)| {
            let [all, peak] = [&summary.requests, &summary.at_peak].map(|sizes| {
                let (wasted, requested) = waste::waste(sizes, round);
                percent(wasted as f64, requested as f64)
            });
            vec![name.to_owned(), all, peak]
        })
        .collect()
}

fn table(header: &[&str], rows: &[Vec<String>]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header.iter().copied());
    rows.iter().for_each(|row| {
        table.add_row(row);
    });
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn pairs(facts: &[(&'static str, String)]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    facts.iter().for_each(|(name, value)| {
        table.add_row([*name, value]);
    });
    table
}
