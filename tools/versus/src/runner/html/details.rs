//! The figures behind the ratios: for each row, what each allocator took.

use std::fmt::Write;

use anyhow::Result;
use freestone_versus::task::Sample;

use super::super::metric::{show_kib, show_ns};
use super::super::results::{MeasuredRow, Report, Runs};
use super::super::stats;
use super::chart::swatch;
use super::escape;
use super::plots::show_count;

/// One column: its title, its value in a sample, and how the value is shown.
type Column = (&'static str, fn(&Sample) -> f64, fn(f64) -> String);

const COLUMNS: [Column; 11] = [
    ("wall", |sample| sample.wall_ns as f64, show_ns),
    ("user", |sample| sample.user_ns as f64, show_ns),
    ("system", |sample| sample.system_ns as f64, show_ns),
    ("operations/s", throughput, show_count),
    ("peak", |sample| sample.peak_kib as f64, show_kib),
    ("average", |sample| sample.average_kib.unwrap_or(0) as f64, show_kib),
    ("fragmentation", fragmentation, show_share),
    ("after", |sample| sample.after_kib as f64, show_kib),
    ("after purge", |sample| sample.purged_kib as f64, show_kib),
    ("faults", |sample| sample.minor_faults as f64, show_count),
    ("charged", |sample| sample.cgroup_kib.unwrap_or(0).max(0) as f64, show_kib),
];

/// Adds a table for each row, folded.
pub(super) fn all(page: &mut String, report: &Report) -> Result<()> {
    page.push_str(
        "<h2 id=\"figures\">Figures</h2><p>Medians; under the wall time, the shortest and the longest \
         sample. <i>Charged</i> is what the memory cgroup was charged for the measured part at its end, \
         where there is one; whatever else runs in that group is in it.</p>",
    );
    for row in &report.rows {
        write!(
            page,
            "<details><summary>{}</summary><p>{}. {} rounds a sample.</p><table><tr><th>allocator<th>samples",
            escape(&row.title()),
            escape(&row.row.imitates),
            row.rounds
        )?;
        for (title, ..) in COLUMNS {
            write!(page, "<th>{title}")?;
        }
        page.push_str("</tr>");
        lines(page, report, row)?;
        page.push_str("</table></details>");
    }
    Ok(())
}

fn lines(page: &mut String, report: &Report, row: &MeasuredRow) -> Result<()> {
    for peer in &report.peers {
        let Some(runs) = row.runs.get(&peer.name).filter(|runs| !runs.samples.is_empty()) else {
            continue;
        };
        write!(
            page,
            "<tr><th>{}{}<td>{}",
            swatch(&peer.name, report),
            escape(&peer.name),
            runs.samples.len()
        )?;
        for (place, (_, value, show)) in COLUMNS.into_iter().enumerate() {
            let middle = stats::median(runs.samples.values().map(value)).map_or_else(String::new, show);
            let spread = if place == 0 { spread(runs) } else { String::new() };
            write!(page, "<td>{middle}{spread}")?;
        }
        page.push_str("</tr>");
    }
    Ok(())
}

/// The shortest and the longest sample.
fn spread(runs: &Runs) -> String {
    let walls = || runs.samples.values().map(|sample| sample.wall_ns as f64);
    let shortest = walls().fold(f64::INFINITY, f64::min);
    let longest = walls().fold(0.0, f64::max);
    format!("<br><small>{} to {}</small>", show_ns(shortest), show_ns(longest))
}

/// Peak memory beyond the bytes that the program held at its peak, as a share of those.
fn fragmentation(sample: &Sample) -> f64 {
    let live = sample.live_kib.unwrap_or(0) as f64;
    if live == 0.0 { f64::NAN } else { sample.peak_kib as f64 / live - 1.0 }
}

fn show_share(share: f64) -> String {
    if share.is_finite() { format!("{:.0}%", share * 100.0) } else { String::new() }
}

/// Operations a second.
pub(super) fn throughput(sample: &Sample) -> f64 {
    sample.operations as f64 / sample.wall_ns.max(1) as f64 * 1e9
}
