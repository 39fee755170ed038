//! Which plots the report has.

use std::fmt::Write;

use anyhow::Result;
use freestone_versus::task::Sample;
use freestone_versus::workloads::Judged;

use super::super::metric::{self, Metric, show_ns};
use super::super::results::{MeasuredRow, Report};
use super::super::roster::Role;
use super::super::stats;
use super::chart::{self, Axis, Charts, LIVE, Scale, Series};
use super::{details, escape};

/// Size of a plot in a grid of them.
const SMALL: (u32, u32) = (440, 270);

/// Size of a plot that stands alone.
const WIDE: (u32, u32) = (900, 420);

/// KiB in a MiB: memory is drawn in MiB, so that the marks fall on round numbers.
const MIB: f64 = 1024.0;

/// Adds every plot that the rows give something for.
pub(super) fn all(page: &mut String, report: &Report) -> Result<()> {
    let charts = Charts { report };
    trade(page, &charts)?;
    scaling(page, &charts)?;
    latency(page, &charts)?;
    resident(page, &charts)
}

fn heading(page: &mut String, report: &Report, id: &str, title: &str, text: &str) -> Result<()> {
    write!(page, "<h2 id=\"{id}\">{title}</h2><p>{text}</p><div class=\"legend\">")?;
    for peer in &report.peers {
        write!(page, "<span>{}{}</span>", chart::swatch(&peer.name, report), escape(&peer.name))?;
    }
    page.push_str("</div><div class=\"plots\">");
    Ok(())
}

fn figure(page: &mut String, svg: &str, title: &str, text: &str) -> Result<()> {
    write!(page, "<figure>{svg}<figcaption><b>{}</b> {}</figcaption></figure>", escape(title), escape(text))?;
    Ok(())
}

/// Time against memory, one plot a workload. The floor is left out: it never
/// frees, and its memory would press all others together.
fn trade(page: &mut String, charts: &Charts) -> Result<()> {
    let report = charts.report;
    heading(
        page,
        report,
        "trade",
        "Time against memory",
        "One plot a workload, medians; the nearer to the lower left corner the better. Workloads on \
         several numbers of threads are shown at the highest. The floor is left out: it never frees.",
    )?;
    for (index, row) in report.rows.iter().enumerate() {
        let next = report.rows.get(index + 1);
        let last_of_its_kind = next.is_none_or(|next| next.row.workload != row.row.workload);
        if !matches!(row.row.judged, Judged::Time | Judged::Recording) || !last_of_its_kind {
            continue;
        }
        let series: Vec<Series> = report
            .names(&[Role::Peer, Role::Copy, Role::Subject])
            .filter_map(|name| {
                let point = (row.median(Metric::Time, name)?, row.median(Metric::Peak, name)? / MIB);
                Some(Series { name, points: vec![point] })
            })
            .collect();
        let time = Axis { title: "time", show: &show_mark };
        let memory = Axis { title: "peak memory", show: &show_mib };
        let svg = charts.points(&time, &memory, &series)?;
        figure(page, &svg, &row.title(), &row.row.imitates)?;
    }
    page.push_str("</div>");
    Ok(())
}

/// The rows of each threaded workload, together.
fn threaded(report: &Report, judged: Judged) -> Vec<Vec<&MeasuredRow>> {
    let mut kinds: Vec<Vec<&MeasuredRow>> = Vec::new();
    for row in &report.rows {
        if !row.row.threaded || row.row.judged != judged {
            continue;
        }
        match kinds.last_mut() {
            Some(kind) if kind[0].row.workload == row.row.workload => kind.push(row),
            _ => kinds.push(vec![row]),
        }
    }
    kinds
}

/// Throughput over the number of threads, one plot a workload.
fn scaling(page: &mut String, charts: &Charts) -> Result<()> {
    let report = charts.report;
    heading(
        page,
        report,
        "scaling",
        "Thread scaling",
        "Operations a second over the number of threads, medians; higher is better.",
    )?;
    for kind in threaded(report, Judged::Time) {
        let places: Vec<String> = kind.iter().map(|row| row.row.threads.to_string()).collect();
        let series: Vec<Series> = report
            .names(&[Role::Peer, Role::Copy, Role::Floor, Role::Subject])
            .map(|name| Series {
                name,
                points: kind
                    .iter()
                    .enumerate()
                    .filter_map(|(place, row)| Some((place as f64, throughput(row, name)?)))
                    .collect(),
            })
            .collect();
        let axis = Axis { title: "operations/s", show: &show_count };
        let svg = charts.lines(SMALL, &places, "threads", &axis, Scale::Linear, &series)?;
        figure(page, &svg, &kind[0].row.workload, &kind[0].row.imitates)?;
    }
    page.push_str("</div>");
    Ok(())
}

/// Operations a second, the median of the samples.
fn throughput(row: &MeasuredRow, name: &str) -> Option<f64> {
    stats::median(row.runs.get(name)?.samples.values().map(details::throughput))
}

/// A mark on an axis of memory.
fn show_mib(mib: f64) -> String {
    format!("{mib} MiB")
}

/// A mark on an axis of time: no more digits than it needs.
fn show_mark(ns: f64) -> String {
    if ns == 0.0 {
        return "0".to_owned();
    }
    show_ns(ns).replace(".0 ", " ")
}

/// A number of things.
pub(super) fn show_count(count: f64) -> String {
    match count {
        count if count < 1e3 => format!("{count:.0}"),
        count if count < 1e6 => format!("{:.0} k", count / 1e3),
        count if count < 1e9 => format!("{:.1} M", count / 1e6),
        count => format!("{:.1} G", count / 1e9),
    }
}

/// Percentiles of single calls, one plot a row.
fn latency(page: &mut String, charts: &Charts) -> Result<()> {
    let report = charts.report;
    heading(
        page,
        report,
        "latency",
        "Latency",
        "Times of single calls, reading the clock included, medians over the samples; lower is \
         better. The vertical axis counts by factors.",
    )?;
    for row in threaded(report, Judged::Tail).into_iter().flatten() {
        let mut places = Vec::new();
        let series: Vec<Series> = report
            .names(&[Role::Peer, Role::Copy, Role::Floor, Role::Subject])
            .map(|name| {
                let curve = percentile_medians(row, name);
                if places.len() < curve.len() {
                    places = curve.iter().map(|(title, _)| (*title).to_owned()).collect();
                }
                let points = curve.iter().enumerate();
                Series { name, points: points.map(|(place, (_, ns))| (place as f64, *ns)).collect() }
            })
            .collect();
        let axis = Axis { title: "one call", show: &show_mark };
        let svg = charts.lines(SMALL, &places, "percentile", &axis, Scale::Log, &series)?;
        figure(page, &svg, &row.title(), &row.row.imitates)?;
    }
    page.push_str("</div>");
    Ok(())
}

/// Each percentile, the median of the samples.
fn percentile_medians(row: &MeasuredRow, name: &str) -> Vec<(&'static str, f64)> {
    let Some(runs) = row.runs.get(name) else {
        return Vec::new();
    };
    let curves: Vec<_> =
        runs.samples.values().filter_map(|sample| sample.latency.as_ref()).map(metric::percentiles).collect();
    let Some(first) = curves.first() else {
        return Vec::new();
    };
    (0..first.len())
        .filter_map(|place| {
            let middle = stats::median(curves.iter().map(|curve| curve[place].1 as f64))?;
            Some((first[place].0, middle))
        })
        .collect()
}

/// Resident memory as a simulated service goes on.
fn resident(page: &mut String, charts: &Charts) -> Result<()> {
    let report = charts.report;
    heading(
        page,
        report,
        "resident",
        "Resident over time",
        "What stays resident at the end of each simulated second, of the first sample; black is what \
         the program itself holds. The floor is left out: it never frees.",
    )?;
    page.push_str("</div><div class=\"wide\">");
    for row in &report.rows {
        let Some(longest) = first_sample(row, report).filter(|first| !first.resident.is_empty()) else {
            continue;
        };
        let places: Vec<String> = longest.resident.iter().map(|moment| moment.second.to_string()).collect();
        let mut series = vec![Series {
            name: LIVE,
            points: longest
                .resident
                .iter()
                .map(|moment| (moment.second as f64, moment.live_kib as f64 / MIB))
                .collect(),
        }];
        for name in report.names(&[Role::Peer, Role::Copy, Role::Subject]) {
            let first = row.runs.get(name).and_then(|runs| runs.samples.values().next());
            series.extend(first.map(|sample| {
                Series {
                    name,
                    points: sample
                        .resident
                        .iter()
                        .map(|moment| (moment.second as f64, moment.resident_kib as f64 / MIB))
                        .collect(),
                }
            }));
        }
        let axis = Axis { title: "resident", show: &show_mib };
        let svg = charts.lines(WIDE, &places, "simulated second", &axis, Scale::Linear, &series)?;
        figure(page, &svg, &row.title(), &row.row.imitates)?;
    }
    page.push_str("</div>");
    Ok(())
}

fn first_sample<'a>(row: &'a MeasuredRow, report: &Report) -> Option<&'a Sample> {
    report.peers.iter().find_map(|peer| row.runs.get(&peer.name)?.samples.values().next())
}
