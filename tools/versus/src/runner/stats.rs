//! Medians, intervals that assume nothing about how samples are spread, and
//! geometric means.

use serde::Serialize;

/// Samples from which an interval can cover 95%: the smallest and the largest of
/// fewer than six enclose the median less often.
pub(crate) const SAMPLES_FOR_95: usize = 6;

/// A median and an interval around it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Interval {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// How probable it is that the true median lies in the interval.
    pub(crate) coverage: f64,
}

/// The middle of `values`; nothing where there are none.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let sorted = sorted(values);
    let count = sorted.len();
    let upper = sorted.get(count / 2)?;
    Some(if count.is_multiple_of(2) { f64::midpoint(sorted[count / 2 - 1], *upper) } else { *upper })
}

/// The median of `values` and the narrowest pair of order statistics around it
/// that covers the true median with 95% (or all that there are, if too few).
pub(crate) fn interval(values: impl IntoIterator<Item = f64>) -> Option<Interval> {
    let sorted = sorted(values);
    let count = sorted.len();
    let median = median(sorted.iter().copied())?;
    let mut cut = 0;
    while 2 * (cut + 1) < count && coverage(count, cut + 1) >= 0.95 {
        cut += 1;
    }
    Some(Interval { median, low: sorted[cut], high: sorted[count - 1 - cut], coverage: coverage(count, cut) })
}

/// How probable it is that the true median lies between the values that remain
/// when `cut` are taken from each end of `count`: each value lies above it or
/// below it as a coin falls.
fn coverage(count: usize, cut: usize) -> f64 {
    let mut ways = 1.0;
    let mut outside = 0.0;
    for below in 0..=cut {
        outside += ways;
        ways *= (count - below) as f64 / (below + 1) as f64;
    }
    1.0 - 2.0 * outside / 2_f64.powi(count as i32)
}

/// The geometric mean of ratios; nothing where there are none.
pub(crate) fn geometric_mean(ratios: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0);
    for ratio in ratios {
        sum += ratio.ln();
        count += 1;
    }
    (count > 0).then(|| (sum / f64::from(count)).exp())
}

fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_samples_cover_95_percent_and_five_do_not() {
        assert!(coverage(SAMPLES_FOR_95, 0) >= 0.95);
        assert!(coverage(SAMPLES_FOR_95 - 1, 0) < 0.95);
    }

    #[test]
    fn an_interval_narrows_with_samples() {
        let few = interval((0..6).map(f64::from)).expect("there are samples");
        assert_eq!((few.low, few.high), (0.0, 5.0));
        let many = interval((0..20).map(f64::from)).expect("there are samples");
        // The textbook's pair for 20 samples: the 6th and the 15th.
        assert_eq!((many.low, many.high), (5.0, 14.0));
    }

    #[test]
    fn the_median_of_an_even_count_is_between_the_middle_two() {
        assert_eq!(median([4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median([]), None);
    }

    #[test]
    fn a_ratio_and_its_inverse_cancel() {
        let mean = geometric_mean([0.5, 2.0]).expect("there are ratios");
        assert!((mean - 1.0).abs() < 1e-12);
    }
}
