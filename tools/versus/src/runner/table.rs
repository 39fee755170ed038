//! The report for a terminal.

use std::path::Path;

use comfy_table::{Attribute, Cell, CellAlignment, Color, Table, presets};

use super::metric::Metric;
use super::results::{Ended, Report};
use super::roster::{COPY, Role, SUBJECT};
use super::targets;
use super::verdict::{Comparison, Findings, Verdict};

/// Prints everything that a person needs; the rest is in `folder`.
pub(crate) fn print(report: &Report, findings: &Findings, folder: &Path) {
    for metric in [
        Metric::Time,
        Metric::Processor,
        Metric::Tail,
        Metric::Peak,
        Metric::Average,
        Metric::Idle,
        Metric::Purged,
    ] {
        if findings.by(metric).next().is_some() {
            println!("\n{}", heading(metric));
            println!("{}", ratios(report, findings, metric));
        }
    }
    println!("\nEach allocator in all, Freestone's rows against it (✓ won, = tied, − behind, ✗ lost)");
    println!("{}", summary(report, findings));
    println!("\nTargets");
    for target in targets::judge(report, findings) {
        let reached = target
            .reached
            .as_ref()
            .map_or_else(String::new, |(figure, place)| format!("{figure:.2} ({place})"));
        println!("  {:12} {} ≤ {:.2}  {reached}", target.word(), target.what, target.bound);
    }
    println!();
    for line in remarks(report, findings) {
        println!("{line}");
    }
    println!("written to {}", folder.display());
}

fn heading(metric: Metric) -> String {
    format!("Freestone's {}, and its ratio to each other allocator's (below 1 is better)", metric.title())
}

fn ratios(report: &Report, findings: &Findings, metric: Metric) -> Table {
    let others: Vec<&str> = report.names(&[Role::Peer, Role::Copy, Role::Floor]).collect();
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let mut header = vec![Cell::new("workload"), Cell::new(SUBJECT)];
    header.extend(others.iter().map(|&other| Cell::new(title(report, other))));
    table.set_header(header);
    for (index, row) in report.rows.iter().enumerate() {
        if !Metric::of(row.row.judged).contains(&metric) {
            continue;
        }
        let own = row.median(metric, SUBJECT);
        let mut cells = vec![
            Cell::new(row.title()),
            Cell::new(own.map_or_else(|| "failed".to_owned(), |own| metric.show(own)))
                .set_alignment(CellAlignment::Right),
        ];
        cells.extend(others.iter().map(|other| {
            match findings.get(index, metric, other) {
                Some(found) => ratio(found),
                None => Cell::new(match row.runs.get(*other).and_then(|runs| runs.ended.as_ref()) {
                    Some(Ended::Skipped) => "no room",
                    Some(Ended::Failed(_)) => "FAILED",
                    None => "",
                })
                .set_alignment(CellAlignment::Right),
            }
        }));
        table.add_row(cells);
    }
    table
}

fn ratio(found: &Comparison) -> Cell {
    let text = format!("{:.2} {}", found.ratio.median, found.verdict.sign());
    let cell = Cell::new(text).set_alignment(CellAlignment::Right);
    let cell = match found.verdict {
        Verdict::Won => cell.fg(Color::Green),
        Verdict::Lost => cell.fg(Color::Red),
        Verdict::Behind => cell.fg(Color::Yellow),
        Verdict::Tied => cell,
    };
    if found.best { cell.add_attribute(Attribute::Bold) } else { cell }
}

/// The name of an allocator, with what it is where it is no peer.
fn title(report: &Report, name: &str) -> String {
    match report.peers.iter().find(|peer| peer.name == name).map(|peer| peer.role) {
        Some(Role::Floor) => format!("({name})"),
        _ => name.to_owned(),
    }
}

fn summary(report: &Report, findings: &Findings) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["against", "version", "time", "✓ = − ✗", "peak memory", "✓ = − ✗"]);
    for peer in report.peers.iter().filter(|peer| peer.role != Role::Subject) {
        let counts = |metric| {
            [Verdict::Won, Verdict::Tied, Verdict::Behind, Verdict::Lost]
                .map(|verdict| findings.count(metric, &peer.name, verdict).to_string())
                .join(" ")
        };
        let mean =
            |metric| findings.mean(metric, &peer.name).map_or_else(String::new, |mean| format!("{mean:.2}"));
        table.add_row([
            title(report, &peer.name),
            peer.version.clone(),
            mean(Metric::Time),
            counts(Metric::Time),
            mean(Metric::Peak),
            counts(Metric::Peak),
        ]);
    }
    table
}

/// What a reader must know besides the figures, one line each.
pub(crate) fn remarks(report: &Report, findings: &Findings) -> Vec<String> {
    let machine = &report.machine;
    let mut lines = vec![
        format!(
            "{}, {}: {} cores of {}, {} MiB, kernel {}, {} byte pages, huge pages {}, {}, {}",
            report.date(),
            report.command,
            machine.cores,
            machine.processor,
            machine.memory_mib,
            machine.kernel,
            machine.page_bytes,
            machine.huge_pages,
            machine.libc,
            machine.compiler,
        ),
        format!(
            "{} run of {} s, seed {}, built with: {}",
            report.mode, report.seconds, report.seed, report.linking
        ),
        format!(
            "load before {} and after {}; a page fault cost {} ns after warming up ({}), {} ns in the rounds",
            machine.load_before,
            report.load_after,
            report.faults.warm_up_ns.last().map_or_else(String::new, |ns| format!("{ns:.0}")),
            if report.faults.steady { "steady" } else { "NOT steady: the machine is busy" },
            span(&report.faults.rounds_ns),
        ),
    ];
    let coverage = report.coverage(findings);
    if coverage < 0.95 {
        lines.push(format!(
            "too few samples for 95% intervals: these cover {:.0}%, take them as an indication",
            coverage * 100.0
        ));
    }
    lines.extend(noise_floor(report, findings));
    for left_out in &report.left_out {
        lines.push(format!("left out: {} ({})", left_out.name, left_out.reason));
    }
    for (row, peer, reason) in report.failures() {
        lines.push(format!("FAILED: {} on {peer}: {reason}", row.title()));
    }
    lines
}

/// What the instrument says of two identical binaries.
fn noise_floor(report: &Report, findings: &Findings) -> Option<String> {
    report.names(&[Role::Copy]).find(|&name| name == COPY)?;
    let ratios: Vec<&Comparison> = findings.by(Metric::Time).filter(|found| found.peer == COPY).collect();
    let tied = ratios.iter().filter(|found| found.verdict == Verdict::Tied).count();
    let furthest = ratios.iter().max_by(|one, other| {
        let distance = |found: &Comparison| found.ratio.median.ln().abs();
        distance(one).total_cmp(&distance(other))
    })?;
    Some(format!(
        "noise floor, Freestone against a byte-identical copy: {tied} of {} rows tied in time, geometric mean {:.3}, the furthest median {:.2} on {}",
        ratios.len(),
        findings.mean(Metric::Time, COPY)?,
        furthest.ratio.median,
        report.rows[furthest.row].title(),
    ))
}

fn span(values: &[f64]) -> String {
    let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = values.iter().copied().fold(0.0, f64::max);
    format!("{lowest:.0} to {highest:.0}")
}
