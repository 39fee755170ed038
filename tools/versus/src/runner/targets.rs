//! What Freestone sets out to reach, judged by the figures of one run.

use freestone_versus::workloads::Judged;

use super::metric::Metric;
use super::results::{MeasuredRow, Report};
use super::roster::{Role, SUBJECT};
use super::verdict::{Comparison, Findings, Verdict};

/// The peers that memory is compared with.
const LEAN: [&str; 3] = ["mimalloc", "jemalloc", "snmalloc"];

/// One target and how far the run is from it.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) what: String,
    /// What the figure must not exceed.
    pub(crate) bound: f64,
    /// The figure, and where it comes from; nothing where it was not measured.
    pub(crate) reached: Option<(f64, String)>,
}

impl Target {
    /// Whether it is met; nothing where it was not measured.
    pub(crate) fn met(&self) -> Option<bool> {
        self.reached.as_ref().map(|(figure, _)| *figure <= self.bound)
    }

    /// The outcome in a word.
    pub(crate) fn word(&self) -> &'static str {
        match self.met() {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "not measured",
        }
    }
}

/// Every target.
pub(crate) fn judge(report: &Report, findings: &Findings) -> Vec<Target> {
    let judge = Judge { report, findings };
    let everybody: Vec<&str> = report.names(&[Role::Peer]).collect();
    let all_but_system: Vec<&str> = everybody.iter().copied().filter(|&peer| peer != "system").collect();
    vec![
        judge.mean("time over all rows, geometric mean, against the best single peer", 0.85, Metric::Time, &everybody),
        judge.losses(),
        judge.mean("peak memory over all rows, geometric mean, against the leanest of mimalloc, jemalloc and snmalloc", 0.95, Metric::Peak, &LEAN),
        judge.worst("resident after one second idle, each row, against mimalloc, jemalloc and snmalloc", 1.0, Metric::Idle, &LEAN, |_| true),
        judge.worst("producers and server churn, each row, time against snmalloc", 0.90, Metric::Time, &["snmalloc"], |row| {
            row.row.threads > 1 && ["threads/producers", "threads/server"].contains(&row.row.workload.as_str())
        }),
        judge.worst("mixed stress on 8 threads, time against mimalloc", 0.90, Metric::Time, &["mimalloc"], stress_on_8),
        judge.worst("mixed stress on 8 threads, peak memory against jemalloc", 1.0, Metric::Peak, &["jemalloc"], stress_on_8),
        judge.worst("loops of 5-25 MiB blocks, time against the best peer", 0.75, Metric::Time, &everybody, |row| {
            row.row.workload == "large/5-25 MiB"
        }),
        judge.worst("Vec to 1 GiB, time against mimalloc, jemalloc and snmalloc", 0.50, Metric::Time, &LEAN, to_1_gib),
        judge.worst("Vec to 1 GiB, time against glibc", 1.0, Metric::Time, &["system"], to_1_gib),
        judge.peak_of_growth(),
        judge.worst("medium blocks, 16 KiB to 1 MiB, time against each peer but the system", 1.0, Metric::Time, &all_but_system, |row| {
            ["pair/64 KiB", "pair/256 KiB", "pair/1 MiB", "large/128-1024 KiB"].contains(&row.row.workload.as_str())
        }),
        judge.worst("p99.99 of single calls, each row, against the best peer", 1.0, Metric::Tail, &everybody, |row| {
            row.row.judged == Judged::Tail
        }),
    ]
}

fn stress_on_8(row: &MeasuredRow) -> bool {
    row.row.workload == "threads/stress" && row.row.threads == 8
}

fn to_1_gib(row: &MeasuredRow) -> bool {
    row.row.workload == "growth/Vec to 1 GiB"
}

struct Judge<'a> {
    report: &'a Report,
    findings: &'a Findings,
}

impl Judge<'_> {
    /// The geometric mean against that peer which comes off best.
    fn mean(&self, what: &str, bound: f64, metric: Metric, peers: &[&str]) -> Target {
        let reached = peers
            .iter()
            .filter_map(|&peer| Some((self.findings.mean(metric, peer)?, peer.to_owned())))
            .max_by(|one, other| one.0.total_cmp(&other.0));
        target(what, bound, reached)
    }

    /// The highest median ratio against any of `peers` on any of the rows.
    fn worst(
        &self,
        what: &str,
        bound: f64,
        metric: Metric,
        peers: &[&str],
        rows: impl Fn(&MeasuredRow) -> bool,
    ) -> Target {
        let reached = self
            .findings
            .by(metric)
            .filter(|found| peers.contains(&found.peer.as_str()) && rows(&self.report.rows[found.row]))
            .max_by(|one, other| one.ratio.median.total_cmp(&other.ratio.median))
            .map(|found| (found.ratio.median, self.place(found)));
        target(what, bound, reached)
    }

    /// Rows whose whole interval lies beyond the bound against the best peer.
    fn losses(&self) -> Target {
        let best: Vec<&Comparison> = self.findings.by(Metric::Time).filter(|found| found.best).collect();
        let lost: Vec<&&Comparison> = best.iter().filter(|found| found.verdict == Verdict::Lost).collect();
        let worst =
            lost.iter().max_by(|one, other| one.ratio.median.total_cmp(&other.ratio.median)).map_or_else(
                || format!("of {} rows", best.len()),
                |found| {
                    format!(
                        "of {} rows; the worst {:.2} on {}",
                        best.len(),
                        found.ratio.median,
                        self.place(found)
                    )
                },
            );
        let what = format!(
            "rows whose interval lies wholly beyond {:.2} of the best peer's time",
            self.report.bound
        );
        let reached = (!best.is_empty()).then_some((lost.len() as f64, worst));
        target(&what, 0.0, reached)
    }

    /// Peak memory of a Vec pushed to 1 GiB, as a share of its final capacity.
    fn peak_of_growth(&self) -> Target {
        let reached = self
            .report
            .rows
            .iter()
            .find(|row| to_1_gib(row))
            .and_then(|row| row.median(Metric::Peak, SUBJECT))
            .map(|peak_kib| (peak_kib / f64::from(1 << 20), "of the capacity".to_owned()));
        target("Vec to 1 GiB, peak memory as a share of the final capacity", 1.05, reached)
    }

    fn place(&self, found: &Comparison) -> String {
        format!("{} against {}", self.report.rows[found.row].title(), found.peer)
    }
}

fn target(what: &str, bound: f64, reached: Option<(f64, String)>) -> Target {
    Target { what: what.to_owned(), bound, reached }
}
