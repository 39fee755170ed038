//! The table that a README shows, losses included.

use std::fmt::Write;

use super::metric::Metric;
use super::results::Report;
use super::roster::{Role, SUBJECT};
use super::table;
use super::targets;
use super::verdict::{Findings, Verdict};

/// The report as Markdown.
pub(crate) fn page(report: &Report, findings: &Findings) -> String {
    let mut page = String::new();
    for remark in table::remarks(report, findings) {
        let _ = writeln!(page, "{remark}  ");
    }
    page +=
        "\nRatios of Freestone to each allocator, below 1 is better; ✓ won, = tied, − behind, **✗ lost**.\n";
    for metric in [Metric::Time, Metric::Tail, Metric::Peak, Metric::Average, Metric::Idle, Metric::Purged] {
        ratios(&mut page, report, findings, metric);
    }
    page += "\n| target | bound | reached | |\n| --- | --- | --- | --- |\n";
    for target in targets::judge(report, findings) {
        let reached = target
            .reached
            .as_ref()
            .map_or_else(String::new, |(figure, place)| format!("{figure:.2} ({place})"));
        let _ = writeln!(page, "| {} | {:.2} | {reached} | {} |", target.what, target.bound, target.word());
    }
    page
}

fn ratios(page: &mut String, report: &Report, findings: &Findings, metric: Metric) {
    if findings.by(metric).next().is_none() {
        return;
    }
    let others: Vec<&str> = report.names(&[Role::Peer, Role::Floor]).collect();
    let _ = writeln!(page, "\n| {} | {SUBJECT} | {} |", metric.title(), others.join(" | "));
    let _ = writeln!(page, "| --- | ---: |{}", " ---: |".repeat(others.len()));
    for (index, row) in report.rows.iter().enumerate() {
        if !Metric::of(row.row.judged).contains(&metric) {
            continue;
        }
        let own = row.median(metric, SUBJECT).map_or_else(|| "failed".to_owned(), |own| metric.show(own));
        let _ = write!(page, "| {} | {own} |", row.title());
        for other in &others {
            let cell = findings.get(index, metric, other).map_or_else(
                || "none".to_owned(),
                |found| {
                    let text = format!("{:.2} {}", found.ratio.median, found.verdict.sign());
                    if found.verdict == Verdict::Lost { format!("**{text}**") } else { text }
                },
            );
            let _ = write!(page, " {cell} |");
        }
        page.push('\n');
    }
    let _ = write!(page, "| *geometric mean* | |");
    for other in &others {
        let mean = findings.mean(metric, other).map_or_else(String::new, |mean| format!("{mean:.2}"));
        let _ = write!(page, " {mean} |");
    }
    page.push('\n');
}
