//! The report of a run that came to its end.

use indicatif::{HumanBytes, HumanCount};
use serde_json::{Value, json};

use crate::books::{Books, Entry, Imbalance};
use crate::monitor::Seen;
use crate::options::{Options, Output};
use crate::run::Run;
use crate::timing::{Times, Worst};
use crate::worker::{Tally, Worker};

/// Everything that is known at the end.
pub(crate) struct Report<'a> {
    options: &'a Options,
    seen: Seen,
    operations: u64,
    digest: u64,
    times: Times,
    tally: Tally,
    live_peak: usize,
    books: Books,
    imbalances: Vec<Imbalance>,
}

/// The lanes' figures, summed up before their memory goes.
pub(crate) struct Sums {
    operations: u64,
    digest: u64,
    times: Times,
    tally: Tally,
}

impl Sums {
    pub(crate) fn of(workers: &[Worker]) -> Self {
        let mut sums = Self { operations: 0, digest: 0, times: Times::new(0), tally: Tally::default() };
        for worker in workers {
            sums.operations += worker.operation;
            // The order in which lanes end is not theirs to choose.
            sums.digest = sums.digest.wrapping_add(worker.digest.0);
            sums.times.add(&worker.times);
            sums.tally.add(&worker.tally);
        }
        sums
    }
}

impl<'a> Report<'a> {
    pub(crate) fn new(run: &'a Run, sums: Sums, seen: Seen, books: Books) -> Self {
        let Sums { operations, digest, times, tally } = sums;
        let (options, live_peak, imbalances) = (&run.options, run.live_peak(), books.imbalances());
        Self { options, seen, operations, digest, times, tally, live_peak, books, imbalances }
    }

    /// Whether the books balance; nothing else can be wrong at this point.
    pub(crate) fn is_good(&self) -> bool {
        self.imbalances.is_empty()
    }

    pub(crate) fn print(&self) {
        match self.options.output {
            Output::Json => println!("{:#}", self.json()),
            Output::Text => print!("{}", self.text()),
        }
        for Imbalance { what, have, least, most } in &self.imbalances {
            eprintln!(
                "freestone-stress: the books do not balance (seed {}): {what}: {have}, not {least} to {most}",
                self.options.seed
            );
        }
    }

    fn per_second(&self) -> f64 {
        self.operations as f64 / self.seen.elapsed.as_secs_f64().max(1e-9)
    }

    fn json(&self) -> Value {
        let all = self.times.all();
        let by_call = self.times.by_call().map(|(call, times)| {
            let figures = json!({
                "calls": times.len(),
                "p50_ns": times.value_at_quantile(0.5),
                "p99_ns": times.value_at_quantile(0.99),
                "p999_ns": times.value_at_quantile(0.999),
                "worst_ns": times.max(),
            });
            (call.name().to_owned(), figures)
        });
        let worst = self.times.worst.map(|worst| {
            json!({
                "ns": worst.nanoseconds,
                "call": worst.call.name(),
                "size": worst.layout.size(),
                "align": worst.layout.align(),
                "lane": worst.lane,
                "operation": worst.operation,
            })
        });
        let tally = self.tally.named().map(|(name, count)| (name.to_owned(), Value::from(count)));
        json!({
            "outcome": if self.is_good() { "good" } else { "imbalance" },
            "seed": self.options.seed,
            "profile": self.options.profile_name,
            "threads": self.options.threads,
            "door": self.options.doors.name(),
            "limit_mb": self.options.limit_mb,
            "faults": self.options.fault_rate,
            "seconds": self.seen.elapsed.as_secs_f64(),
            "operations": self.operations,
            "operations_per_second": self.per_second(),
            "digest": format!("{:016x}", self.digest),
            "calls": all.len(),
            "p99_ns": all.value_at_quantile(0.99),
            "worst": worst,
            "by_call": by_call.collect::<serde_json::Map<_, _>>(),
            "tally": Value::Object(tally.into_iter().collect()),
            "live_peak_bytes": self.live_peak,
            "rss_peak_bytes": self.seen.resident_peak,
            "rss_final_bytes": self.books.after.memory.resident,
            "rss_peak_by_tenth": self.seen.resident_by_part,
            "books": self.books_json(),
        })
    }

    fn books_json(&self) -> Value {
        let entry = |entry: &Entry| {
            json!({
                "shadow_live": entry.live_bytes,
                "stats_allocated": entry.stats.allocated,
                "stats_mapped": entry.stats.mapped,
                "stats_retained": entry.stats.retained,
                "stats_dirty": entry.stats.dirty,
                "kernel_mapped": entry.memory.mapped,
                "kernel_resident": entry.memory.resident,
                "kernel_anonymous": entry.memory.anonymous,
                "groups": entry.groups.iter().map(|group| json!({
                    "shadow_blocks": group.live_blocks,
                    "shadow_bytes": group.live_bytes,
                    "stats_blocks": group.stats.blocks,
                    "stats_requested": group.stats.requested,
                    "stats_held": group.stats.held,
                })).collect::<Vec<_>>(),
            })
        };
        let Books { before, full, full_most, freed, after } = &self.books;
        json!({
            "before": entry(before),
            "last_blocks": entry(full),
            "last_blocks_at_most": full_most,
            "freed": entry(freed),
            "after": entry(after),
            "purged_total": after.stats.purged_total,
            "copied_total": after.stats.copied_total,
            "lost_total": after.stats.lost_total,
            "imbalances": self.imbalances.iter().map(|imbalance| imbalance.what).collect::<Vec<_>>(),
        })
    }

    fn text(&self) -> String {
        use std::fmt::Write as _;
        let mut text = String::new();
        // Writing into a `String` never fails.
        let _ = writeln!(
            text,
            "{} operations in {:.1} s, {}/s, digest {:016x}",
            HumanCount(self.operations),
            self.seen.elapsed.as_secs_f64(),
            HumanCount(self.per_second() as u64),
            self.digest,
        );
        let all = self.times.all();
        let _ = writeln!(text, "{} calls, p99 {} ns", HumanCount(all.len()), all.value_at_quantile(0.99));
        for (call, times) in self.times.by_call() {
            let _ = writeln!(
                text,
                "  {:<13} {:>14}  p50 {:>7} ns  p99 {:>9} ns  p99.9 {:>10} ns  worst {:>11} ns",
                call.name(),
                HumanCount(times.len()).to_string(),
                times.value_at_quantile(0.5),
                times.value_at_quantile(0.99),
                times.value_at_quantile(0.999),
                times.max(),
            );
        }
        if let Some(Worst { nanoseconds, call, layout, lane, operation }) = self.times.worst {
            let _ = writeln!(
                text,
                "worst call: {:.3} ms, {} of {} bytes aligned to {}, operation {operation} of lane {lane}",
                nanoseconds as f64 / 1e6,
                call.name(),
                layout.size(),
                layout.align(),
            );
        }
        let tally: Vec<_> =
            self.tally.named().iter().map(|(name, count)| format!("{name} {count}")).collect();
        let _ = writeln!(text, "{}", tally.join(", ").replace('_', " "));
        let parts: Vec<_> = self.seen.resident_by_part.iter().map(|part| (part >> 20).to_string()).collect();
        let bytes = |bytes: usize| HumanBytes(bytes as u64).to_string();
        let _ = writeln!(
            text,
            "RSS: peak {}, final {}; peaks by tenth of the run in MiB: {}",
            bytes(self.seen.resident_peak),
            bytes(self.books.after.memory.resident),
            if parts.is_empty() { "-".to_owned() } else { parts.join(" ") },
        );
        let Books { before, full, full_most, freed, after } = &self.books;
        let _ = writeln!(
            text,
            "books: live at most {}; last blocks {} by the shadow, {} by the allocator (at most {}); allocated \
             {} before, {} after; mapped {} by the allocator after, {} by the kernel; anonymous {} before, {} after",
            bytes(self.live_peak),
            bytes(full.live_bytes),
            bytes(full.stats.allocated.saturating_sub(freed.stats.allocated)),
            bytes(*full_most),
            bytes(before.stats.allocated),
            bytes(after.stats.allocated),
            bytes(after.stats.mapped),
            bytes(after.memory.mapped),
            bytes(before.memory.anonymous),
            bytes(after.memory.anonymous),
        );
        for group in &full.groups {
            let requested = group.live_bytes.map_or("-".to_owned(), |_| bytes(group.stats.requested));
            let _ = writeln!(
                text,
                "group: last blocks {}, {requested} requested; {} held, {} at most",
                HumanCount(group.stats.blocks as u64),
                bytes(group.stats.held),
                bytes(group.stats.peak),
            );
        }
        let _ = writeln!(text, "{}", if self.is_good() { "good" } else { "NOT GOOD: see standard error" });
        text
    }
}
