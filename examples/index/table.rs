//! Shows both sides next to each other.

use std::io::{self, Write};
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};

use crate::parent::Comparison;
use crate::report::{Cost, Findings, Report};

/// So many places of a word are shown; there may be thousands.
const PLACES_SHOWN: usize = 20;

pub(crate) fn write(comparison: &Comparison, find: Option<&str>, to: &mut impl Write) -> io::Result<()> {
    writeln!(to, "{}", sides(&comparison.freestone, &comparison.system))?;
    writeln!(
        to,
        "Both sides found the same words in the same places (checksum {:016x}).",
        comparison.freestone.findings.digest
    )?;
    writeln!(
        to,
        "Skipped: {} binary files, {} unreadable files and directories.",
        count(comparison.binary_files),
        count(comparison.unreadable + comparison.freestone.findings.lost_files)
    )?;
    if comparison.limit_reached {
        writeln!(to, "Stopped at the limit; see --max-mb.")?;
    }
    find.map_or(Ok(()), |word| places(word, &comparison.freestone.findings, to))
}

fn sides(freestone: &Report, system: &Report) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header([
        "",
        "Freestone",
        "system",
        "Freestone/system",
    ]);

    let mut found = |label: &str, show: fn(&Findings) -> String| {
        let [ours, theirs] = [freestone, system].map(|side| show(&side.findings));
        table.add_row([label, &ours, &theirs, ""]);
    };
    found("files", |found| count(found.files));
    found("words", |found| count(found.words));
    found("distinct words", |found| count(found.distinct_words));
    found("bytes", |found| count(found.bytes));

    let mut took = |label: &str, measure: fn(&Cost) -> Option<f64>, show: fn(f64) -> String| {
        let [ours, theirs] = [freestone, system].map(|side| measure(&side.cost));
        let [ours_shown, theirs_shown] =
            [ours, theirs].map(|value| value.map_or_else(|| "unknown".to_owned(), show));
        table.add_row([label, &ours_shown, &theirs_shown, &ratio(ours, theirs)]);
    };
    took("wall time", |cost| seconds(cost.wall()), show_seconds);
    took("  building", |cost| seconds(cost.building), show_seconds);
    took("  freeing", |cost| seconds(cost.freeing), show_seconds);
    took("processor time", |cost| seconds(cost.cpu), show_seconds);
    took("page faults", |cost| Some(cost.page_faults as f64), |faults| count(faults as u64));
    took("peak memory", |cost| cost.peak_bytes.map(|bytes| bytes as f64), show_mib);
    took("resident after freeing", |cost| cost.left_bytes.map(|bytes| bytes as f64), show_mib);

    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn places(word: &str, findings: &Findings, to: &mut impl Write) -> io::Result<()> {
    let files = findings.places.len();
    writeln!(to, "\"{word}\" is in {files} files.")?;
    for place in findings.places.iter().take(PLACES_SHOWN) {
        writeln!(to, "  {}: {:?}", place.file, place.positions)?;
    }
    if files > PLACES_SHOWN {
        writeln!(to, "  and {} more", files - PLACES_SHOWN)?;
    }
    Ok(())
}

fn seconds(time: Duration) -> Option<f64> {
    Some(time.as_secs_f64())
}

fn show_seconds(seconds: f64) -> String {
    format!("{seconds:.2} s")
}

fn show_mib(bytes: f64) -> String {
    format!("{:.1} MiB", bytes / f64::from(1 << 20))
}

/// Empty where there is nothing to divide.
fn ratio(ours: Option<f64>, theirs: Option<f64>) -> String {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) if theirs > 0.0 => format!("{:.2}", ours / theirs),
        _ => String::new(),
    }
}

/// A number with its thousands apart.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}
