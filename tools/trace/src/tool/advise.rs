//! A trace replayed on Freestone with other options, and what follows for the program.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use comfy_table::{CellAlignment, Table, presets};
use freestone_trace::script;
use freestone_trace::steps::Steps;
use serde::Deserialize;
use serde_json::json;

use super::cli::Advise;
use super::text::{bytes, time};
use super::{building, read, say};

/// Options under trial: variables, and the same as methods.
struct Choice {
    variables: &'static [(&'static str, &'static str)],
    methods: &'static str,
}

/// The first is the default.
const CHOICES: [Choice; 9] = [
    Choice { variables: &[], methods: "" },
    Choice { variables: &[("FREESTONE_PURGE_DELAY_MS", "0")], methods: ".purge_delay(Duration::ZERO)" },
    Choice {
        variables: &[("FREESTONE_PURGE_DELAY_MS", "10")],
        methods: ".purge_delay(Duration::from_millis(10))",
    },
    Choice {
        variables: &[("FREESTONE_PURGE_DELAY_MS", "1000")],
        methods: ".purge_delay(Duration::from_secs(1))",
    },
    Choice {
        variables: &[("FREESTONE_HUGE_PAGES", "always")],
        methods: ".huge_pages(HugePagePolicy::Always)",
    },
    Choice { variables: &[("FREESTONE_HUGE_PAGES", "never")], methods: ".huge_pages(HugePagePolicy::Never)" },
    Choice { variables: &[("FREESTONE_RETAINED_BYTES", "8M")], methods: ".retained_bytes(8 << 20)" },
    Choice { variables: &[("FREESTONE_RETAINED_BYTES", "1G")], methods: ".retained_bytes(1 << 30)" },
    Choice { variables: &[("FREESTONE_POPULATE", "1")], methods: ".populate(true)" },
];

/// A ratio to the default's is a difference from here on, if all repetitions but one agree.
const DIFFERENT: f64 = 0.02;

/// What a set may cost of time to be worth its memory, and the other way round.
const TOLERATED: f64 = 1.05;

/// What the peer says of a replay; it says more.
#[derive(Debug, Clone, Deserialize)]
struct Sample {
    wall_ns: u64,
    peak_kib: u64,
    average_kib: Option<u64>,
}

/// What is compared.
#[derive(Clone, Copy)]
enum Metric {
    Time,
    Peak,
    Average,
}

impl Metric {
    const ALL: [Self; 3] = [Self::Time, Self::Peak, Self::Average];

    fn of(self, sample: &Sample) -> f64 {
        match self {
            Self::Time => sample.wall_ns as f64,
            Self::Peak => sample.peak_kib as f64,
            Self::Average => sample.average_kib.unwrap_or(0) as f64,
        }
    }

    fn show(self, value: f64) -> String {
        match self {
            Self::Time => time(value),
            Self::Peak | Self::Average => bytes(value * 1024.0),
        }
    }
}

/// Runs `advise`.
pub(crate) fn run(arguments: &Advise) -> Result<()> {
    let steps = Steps::of(&read(&arguments.file)?);
    if steps.steps.is_empty() {
        bail!("{}: no call was recorded", arguments.file.display());
    }
    let script = tempfile::NamedTempFile::new().context("a temporary file")?;
    fs::write(script.path(), script::compile(&steps)).context("the script")?;
    let peer = building::peer()?;
    let replay = |choice: &Choice| {
        let task = json!({
            "workload": "trace", "seed": 0, "threads": steps.threads, "rounds": 1, "second_ms": 1000,
            "recording": { "script": script.path(), "touch": arguments.touch.name() },
        });
        sample(&peer, choice, &task.to_string())
    };
    let mut samples = vec![Vec::new(); CHOICES.len()];
    for repetition in 0..usize::from(arguments.repeat) {
        // Another one first each time.
        for turn in 0..CHOICES.len() {
            let place = (repetition + turn) % CHOICES.len();
            samples[place].push(replay(&CHOICES[place])?);
        }
    }
    let results: Vec<Outcome> = samples.iter().map(|own| Outcome::of(own, &samples[0])).collect();
    say(table(&results))?;
    say(advice(&results))?;
    Ok(())
}

/// One replay in a fresh process, with nothing in its environment but the choice's variables.
fn sample(peer: &Path, choice: &Choice, task: &str) -> Result<Sample> {
    let output = Command::new(peer)
        .arg(task)
        .env_clear()
        .envs(choice.variables.iter().copied())
        .output()
        .with_context(|| peer.display().to_string())?;
    if !output.status.success() {
        bail!("the replay failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).context("what the replay says")
}

/// Medians of one choice, and how it stands against the default, by metric.
#[derive(Debug, Clone)]
struct Outcome {
    medians: [f64; 3],
    ratios: [Ratio; 3],
}

/// A choice's value divided by the default's of the same repetition.
#[derive(Debug, Clone, Copy)]
struct Ratio {
    median: f64,
    /// The second lowest and the second highest.
    low: f64,
    high: f64,
}

impl Outcome {
    fn of(own: &[Sample], default: &[Sample]) -> Self {
        Self {
            medians: Metric::ALL.map(|metric| {
                let sorted = sorted(own.iter().map(|sample| metric.of(sample)));
                sorted[sorted.len() / 2]
            }),
            ratios: Metric::ALL.map(|metric| {
                let pairs = own.iter().zip(default);
                Ratio::of(pairs.map(|(own, default)| metric.of(own) / metric.of(default).max(1.0)))
            }),
        }
    }

    fn ratio(&self, metric: Metric) -> &Ratio {
        &self.ratios[metric as usize]
    }
}

impl Ratio {
    fn of(ratios: impl Iterator<Item = f64>) -> Self {
        let sorted = sorted(ratios);
        let cut = usize::from(sorted.len() > 3);
        Self { median: sorted[sorted.len() / 2], low: sorted[cut], high: sorted[sorted.len() - 1 - cut] }
    }

    fn is_better(&self) -> bool {
        self.high < 1.0 - DIFFERENT
    }

    fn is_worse(&self) -> bool {
        self.low > 1.0 + DIFFERENT
    }

    fn shown(&self) -> String {
        let sign = match () {
            () if self.is_better() => "✓",
            () if self.is_worse() => "✗",
            () => "=",
        };
        format!("{:.2} {sign}", self.median)
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn table(results: &[Outcome]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["options", "time", "", "peak memory", "", "average memory", ""]);
    for (choice, result) in CHOICES.iter().zip(results) {
        let mut row = vec![name(choice)];
        for metric in Metric::ALL {
            row.push(metric.show(result.medians[metric as usize]));
            row.push(if choice.variables.is_empty() { String::new() } else { result.ratio(metric).shown() });
        }
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn name(choice: &Choice) -> String {
    if choice.variables.is_empty() {
        return "default".to_owned();
    }
    choice.variables.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

/// Which lines to put into the program, if any.
fn advice(results: &[Outcome]) -> String {
    let faster = best(results, Metric::Time, &[Metric::Peak, Metric::Average]);
    let leaner = best(results, Metric::Average, &[Metric::Time]);
    let mut lines: Vec<String> = [("time", Metric::Time, faster), ("memory", Metric::Average, leaner)]
        .into_iter()
        .filter_map(|(what, metric, place)| {
            let place = place?;
            let median = results[place].ratio(metric).median;
            Some(format!(
                "For {what} ({median:.2} of the default's), in the program or in its environment:\n\n    \
                 static ALLOC: Freestone = Freestone::new(){};\n    {}\n",
                CHOICES[place].methods,
                name(&CHOICES[place]),
            ))
        })
        .collect();
    if lines.is_empty() {
        lines.push("The default is as good as any of these: set nothing.\n".to_owned());
    }
    lines.push(
        "✓ better, ✗ worse in all repetitions but one, by 2% or more; = no such difference.".to_owned(),
    );
    lines.join("\n")
}

/// The choice that is best by `metric` without being dearer by the others.
fn best(results: &[Outcome], metric: Metric, others: &[Metric]) -> Option<usize> {
    let affordable = |result: &Outcome| others.iter().all(|&other| result.ratio(other).median <= TOLERATED);
    let better = results.iter().enumerate().skip(1);
    better
        .filter(|(_, result)| result.ratio(metric).is_better() && affordable(result))
        .min_by(|(_, one), (_, other)| one.ratio(metric).median.total_cmp(&other.ratio(metric).median))
        .map(|(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(time: f64, average: f64) -> Outcome {
        let ratio = |median| Ratio { median, low: median, high: median };
        Outcome { medians: [1.0; 3], ratios: [ratio(time), ratio(average), ratio(average)] }
    }

    #[test]
    fn a_difference_within_the_noise_is_no_advice() {
        let results = vec![outcome(1.0, 1.0), outcome(0.99, 1.0), outcome(1.0, 0.985)];
        assert!(advice(&results).starts_with("The default is as good"));
    }

    #[test]
    fn time_that_costs_memory_is_no_advice() {
        let results = vec![outcome(1.0, 1.0), outcome(0.8, 1.5), outcome(0.9, 1.0)];
        assert_eq!(best(&results, Metric::Time, &[Metric::Peak, Metric::Average]), Some(2));
    }

    #[test]
    fn one_repetition_that_disagrees_does_not_count() {
        assert!(Ratio::of([0.9, 0.9, 0.9, 0.9, 1.4].into_iter()).is_better());
        assert!(!Ratio::of([0.9, 0.9, 0.9, 1.1, 1.4].into_iter()).is_better());
    }
}
