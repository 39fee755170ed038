//! What the figures mean: ratios inside the same repetition, and verdicts that
//! know how far the samples spread.

use freestone_versus::workloads::Judged;
use serde::Serialize;

use super::building::Peer;
use super::metric::Metric;
use super::results::{MeasuredRow, Report};
use super::roster::{Role, SUBJECT};
use super::stats::{self, Interval};

/// Ratios closer to one than this are equal: linking the same objects in another
/// order moves a program by as much.
const EQUAL: f64 = 0.01;

/// How the subject stands against one other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) enum Verdict {
    /// Better: the whole interval lies below one.
    Won,
    /// The spread is larger than the difference.
    Tied,
    /// Worse, but not by more than the bound.
    Behind,
    /// Worse: the whole interval lies beyond the bound.
    Lost,
}

impl Verdict {
    fn of(ratio: &Interval, bound: f64) -> Self {
        if ratio.low > bound {
            Self::Lost
        } else if ratio.high < 1.0 - EQUAL {
            Self::Won
        } else if ratio.low > 1.0 + EQUAL {
            Self::Behind
        } else {
            Self::Tied
        }
    }

    /// One sign a verdict, so that no colour is needed to read it.
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Self::Won => "✓",
            Self::Tied => "=",
            Self::Behind => "−",
            Self::Lost => "✗",
        }
    }

    /// The verdict in a word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Won => "won",
            Self::Tied => "tied",
            Self::Behind => "behind",
            Self::Lost => "lost",
        }
    }
}

/// The subject against one other, on one row, by one metric.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Comparison {
    pub(crate) row: usize,
    pub(crate) metric: Metric,
    pub(crate) peer: String,
    /// The subject's value divided by the other's: below one is better.
    pub(crate) ratio: Interval,
    pub(crate) verdict: Verdict,
    /// Whether the other is the best of the peers on this row.
    pub(crate) best: bool,
}

/// Everything that follows from the figures.
#[derive(Debug)]
pub(crate) struct Findings {
    pub(crate) comparisons: Vec<Comparison>,
}

impl Findings {
    /// Compares the subject with everybody on every row.
    pub(crate) fn of(report: &Report) -> Self {
        let comparisons = report
            .rows
            .iter()
            .enumerate()
            .flat_map(|(index, row)| {
                Metric::of(row.row.judged).iter().flat_map(move |&metric| compare(index, row, metric, report))
            })
            .collect();
        Self { comparisons }
    }

    /// The comparison with one other on one row.
    pub(crate) fn get(&self, row: usize, metric: Metric, peer: &str) -> Option<&Comparison> {
        self.by(metric).find(|found| found.row == row && found.peer == peer)
    }

    /// Every comparison by that metric.
    pub(crate) fn by(&self, metric: Metric) -> impl Iterator<Item = &Comparison> {
        self.comparisons.iter().filter(move |found| found.metric == metric)
    }

    /// The geometric mean of the ratios to one other over all rows.
    pub(crate) fn mean(&self, metric: Metric, peer: &str) -> Option<f64> {
        stats::geometric_mean(
            self.by(metric).filter(|found| found.peer == peer).map(|found| found.ratio.median),
        )
    }

    /// How many rows ended with that verdict against one other.
    pub(crate) fn count(&self, metric: Metric, peer: &str, verdict: Verdict) -> usize {
        self.by(metric).filter(|found| found.peer == peer && found.verdict == verdict).count()
    }
}

fn compare(index: usize, row: &MeasuredRow, metric: Metric, report: &Report) -> Vec<Comparison> {
    let best = best(row, metric, &report.peers);
    report
        .names(&[Role::Peer, Role::Floor, Role::Copy])
        .filter_map(|peer| {
            let ratio = ratio(row, metric, peer)?;
            Some(Comparison {
                row: index,
                metric,
                peer: peer.to_owned(),
                verdict: Verdict::of(&ratio, report.bound),
                ratio,
                best: best == Some(peer),
            })
        })
        .collect()
}

/// The peer with the lowest median; floors and copies are no peers.
fn best<'a>(row: &MeasuredRow, metric: Metric, peers: &'a [Peer]) -> Option<&'a str> {
    peers
        .iter()
        .filter(|peer| peer.role == Role::Peer)
        .filter_map(|peer| Some((row.median(metric, &peer.name)?, peer.name.as_str())))
        .min_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, name)| name)
}

/// The subject's value divided by the other's, each pair from one repetition.
fn ratio(row: &MeasuredRow, metric: Metric, peer: &str) -> Option<Interval> {
    let subject = &row.runs.get(SUBJECT)?.samples;
    let other = &row.runs.get(peer)?.samples;
    stats::interval(subject.iter().filter_map(|(repetition, sample)| {
        let other = metric.value(other.get(repetition)?)?;
        Some(metric.value(sample)? / other.max(1.0))
    }))
}

/// Whether a row lies so near the bound that more samples could change what is
/// said of it: the interval against the best peer encloses the bound. Memory
/// hardly differs from sample to sample, so it is never open.
pub(crate) fn is_open(row: &MeasuredRow, peers: &[Peer], bound: f64) -> bool {
    let metric = match row.row.judged {
        Judged::Time | Judged::Recording => Metric::Time,
        Judged::Tail => Metric::Tail,
        Judged::Memory => return false,
    };
    best(row, metric, peers)
        .and_then(|peer| ratio(row, metric, peer))
        .is_some_and(|ratio| (ratio.low..=ratio.high).contains(&bound))
}

impl MeasuredRow {
    /// The median of one allocator's samples.
    pub(crate) fn median(&self, metric: Metric, peer: &str) -> Option<f64> {
        let samples = &self.runs.get(peer)?.samples;
        stats::median(samples.values().filter_map(|sample| metric.value(sample)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(low: f64, high: f64) -> Verdict {
        let ratio = Interval { median: f64::midpoint(low, high), low, high, coverage: 0.95 };
        Verdict::of(&ratio, 1.05)
    }

    #[test]
    fn a_row_is_lost_only_when_its_whole_interval_lies_beyond_the_bound() {
        assert_eq!(verdict(1.06, 1.20), Verdict::Lost);
        assert_eq!(verdict(1.04, 1.20), Verdict::Behind);
        assert_eq!(verdict(0.98, 1.20), Verdict::Tied);
    }

    #[test]
    fn a_row_is_won_only_when_its_whole_interval_lies_below_one() {
        assert_eq!(verdict(0.80, 0.90), Verdict::Won);
        assert_eq!(verdict(0.80, 1.00), Verdict::Tied);
    }
}
