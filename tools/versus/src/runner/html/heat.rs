//! The heat table: one row a workload, one column an allocator.

use std::fmt::Write;

use anyhow::Result;

use super::super::metric::Metric;
use super::super::results::{Ended, Report};
use super::super::roster::{Role, SUBJECT};
use super::super::verdict::{Comparison, Findings};
use super::escape;

/// The ratio at which a colour is full: more is as bad, and less as good.
const FULL: f64 = 2.0;

/// Adds the table of one metric, if any row has it.
pub(super) fn table(page: &mut String, report: &Report, findings: &Findings, metric: Metric) -> Result<()> {
    if findings.by(metric).next().is_none() {
        return Ok(());
    }
    let others: Vec<&str> = report.names(&[Role::Peer, Role::Copy, Role::Floor]).collect();
    write!(page, "<h3>{}</h3><table><thead><tr><th>workload<th>{SUBJECT}", metric.title())?;
    for other in &others {
        write!(page, "<th>{}", escape(other))?;
    }
    page.push_str("</tr></thead>");
    for (index, row) in report.rows.iter().enumerate() {
        if !Metric::of(row.row.judged).contains(&metric) {
            continue;
        }
        let own = row.median(metric, SUBJECT).map_or_else(|| "failed".to_owned(), |own| metric.show(own));
        write!(page, "<tr><th title=\"{}\">{}<td>{own}", escape(&row.row.imitates), escape(&row.title()))?;
        for other in &others {
            match findings.get(index, metric, other) {
                Some(found) => cell(page, found)?,
                None => page.push_str(match row.runs.get(*other).and_then(|runs| runs.ended.as_ref()) {
                    Some(Ended::Skipped) => {
                        "<td class=\"none\" title=\"it never frees, and ran out of room\">no room"
                    }
                    Some(Ended::Failed(_)) => "<td class=\"lost\">failed",
                    None => "<td>",
                }),
            }
        }
        page.push_str("</tr>");
    }
    page.push_str("<tr><th>geometric mean<td>");
    for other in &others {
        match findings.mean(metric, other) {
            Some(mean) => write!(page, "<td style=\"{}\"><b>{mean:.2}</b>", colour(mean))?,
            None => page.push_str("<td>"),
        }
    }
    page.push_str("</tr></table>");
    Ok(())
}

fn cell(page: &mut String, found: &Comparison) -> Result<()> {
    let ratio = &found.ratio;
    write!(
        page,
        "<td class=\"{}\" style=\"{}\" title=\"{}: {:.3} to {:.3}, which covers {:.1}%\">{:.2} {}",
        if found.best { "best" } else { "" },
        colour(ratio.median),
        found.verdict.word(),
        ratio.low,
        ratio.high,
        ratio.coverage * 100.0,
        ratio.median,
        found.verdict.sign(),
    )?;
    Ok(())
}

/// The background of a ratio: white at one, greener below, redder above.
pub(super) fn colour(ratio: f64) -> String {
    let strength = (ratio.ln() / FULL.ln()).clamp(-1.0, 1.0);
    let hue = if strength < 0.0 { 140 } else { 5 };
    format!("background:hsl({hue} 70% {:.0}%)", 100.0 - 32.0 * strength.abs())
}
