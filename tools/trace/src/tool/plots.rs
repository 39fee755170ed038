//! The plots of a page, as SVG that stands in it.

use anyhow::{Result, anyhow};
use freestone_trace::summary::{Moment, POWERS, Summary};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::text::count;

const WIDE: (u32, u32) = (900, 320);
const SQUARE: (u32, u32) = (900, 460);

const LINE: RGBColor = RGBColor(0xd6, 0x2b, 0x2b);
const BAR: RGBColor = RGBColor(0x1f, 0x77, 0xb4);
const MESH: RGBColor = RGBColor(0xe8, 0xe8, 0xe8);

/// Pixels between a plot and its edge.
const MARGIN: u32 = 10;
/// The same on the right, where the last mark stands out.
const RIGHT: u32 = 40;

/// Pixels for marks and titles.
const BELOW: u32 = 40;
const BESIDE: u32 = 84;

/// What a horizontal axis shows of a moment: its title, the value, and the unit that it is shown
/// in.
struct Across {
    title: &'static str,
    value: fn(&Moment) -> u64,
    unit: Unit,
}

/// A unit in which an axis has round marks.
struct Unit {
    name: &'static str,
    size: f64,
}

/// The unit of bytes that suits an axis up to `most`.
fn unit_of_bytes(most: f64) -> Unit {
    unit(most, &[("B", 1.0), ("KiB", 1024.0), ("MiB", 1048576.0), ("GiB", 1073741824.0)])
}

/// The unit of time that suits an axis up to `most` nanoseconds.
fn unit_of_time(most: f64) -> Unit {
    unit(most, &[("µs", 1e3), ("ms", 1e6), ("s", 1e9)])
}

/// The largest unit of which the axis has at least two.
fn unit(most: f64, units: &[(&'static str, f64)]) -> Unit {
    let suits = units.iter().rfind(|(_, size)| most >= 2.0 * size).unwrap_or(&units[0]);
    Unit { name: suits.0, size: suits.1 }
}

/// Live bytes over something.
fn live(summary: &Summary, across: &Across) -> Result<String> {
    let right = summary.curve.iter().map(across.value).max().unwrap_or(1).max(1) as f64 / across.unit.size;
    let most = summary.peak_bytes.max(1) as f64;
    let height = unit_of_bytes(most);
    draw(WIDE, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(MARGIN)
            .margin_right(RIGHT)
            .x_label_area_size(BELOW)
            .y_label_area_size(BESIDE)
            .build_cartesian_2d(0.0..right, 0.0..most / height.size * 1.08)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(MESH)
            .x_labels(6)
            .y_labels(6)
            .x_desc(format!("{} {}", across.title, across.unit.name))
            .y_desc(format!("live {}", height.name))
            .x_label_formatter(&|value| mark(*value))
            .y_label_formatter(&|value| mark(*value))
            .draw()?;
        let points = summary.curve.iter().map(|moment| {
            ((across.value)(moment) as f64 / across.unit.size, moment.bytes as f64 / height.size)
        });
        chart.draw_series(AreaSeries::new(points, 0.0, LINE.mix(0.12)).border_style(LINE.stroke_width(2)))?;
        Ok(())
    })
}

/// A mark on an axis, with no more digits than it needs.
fn mark(value: f64) -> String {
    if value >= 1000.0 { count(value as u64) } else { ((value * 1000.0).round() / 1000.0).to_string() }
}

/// Live bytes over time.
pub(crate) fn over_time(summary: &Summary) -> Result<String> {
    let unit = unit_of_time(summary.time as f64);
    live(summary, &Across { title: "time in", value: |moment| moment.time, unit })
}

/// Live bytes over calls.
pub(crate) fn over_calls(summary: &Summary) -> Result<String> {
    let unit = Unit { name: "", size: 1.0 };
    live(summary, &Across { title: "calls", value: |moment| moment.calls, unit })
}

/// How often sizes were requested, by powers of two.
pub(crate) fn sizes(summary: &Summary) -> Result<String> {
    let Some((first, last)) = span(summary.sizes.iter().map(|class| class.requests)) else {
        return Ok(String::new());
    };
    let top = summary.sizes.iter().map(|class| class.requests).max().unwrap_or(1) as f64 * 1.08;
    draw(WIDE, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(MARGIN)
            .margin_right(RIGHT)
            .x_label_area_size(BELOW)
            .y_label_area_size(BESIDE)
            .build_cartesian_2d(first as f64..last as f64 + 1.0, 0.0..top)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(MESH)
            .x_labels(last - first + 2)
            .x_desc("size")
            .y_desc("requests")
            .x_label_formatter(&|power| of_power(*power))
            .y_label_formatter(&|requests| count(*requests as u64))
            .draw()?;
        chart.draw_series((first..=last).map(|power| {
            let (left, right) = (power as f64 + 0.06, power as f64 + 0.94);
            Rectangle::new([(left, 0.0), (right, summary.sizes[power].requests as f64)], BAR.filled())
        }))?;
        Ok(())
    })
}

/// Freed blocks by size and lifetime: the darker, the more.
pub(crate) fn lifetimes(summary: &Summary) -> Result<String> {
    let by_life = |life: usize| summary.lifetimes.iter().map(|size| size[life]).sum::<u64>();
    let by_size = summary.lifetimes.iter().map(|lives| lives.iter().sum::<u64>());
    let (Some((left, right)), Some((bottom, top))) = (span(by_size), span((0..POWERS).map(by_life))) else {
        return Ok(String::new());
    };
    let most = summary.lifetimes.iter().flatten().copied().max().unwrap_or(1) as f64;
    draw(SQUARE, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(MARGIN)
            .margin_right(RIGHT)
            .x_label_area_size(BELOW)
            .y_label_area_size(BESIDE)
            .build_cartesian_2d(left as f64..right as f64 + 1.0, bottom as f64..top as f64 + 1.0)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(MESH)
            .x_labels(right - left + 2)
            .y_labels(top - bottom + 2)
            .x_desc("size")
            .y_desc("lifetime in calls")
            .x_label_formatter(&|power| of_power(*power))
            .y_label_formatter(&|power| count(2_f64.powf(*power) as u64))
            .draw()?;
        let cells = (left..=right).flat_map(|size| (bottom..=top).map(move |life| (size, life)));
        chart.draw_series(cells.filter_map(|(size, life)| {
            let blocks = summary.lifetimes[size][life];
            // By factors: most blocks of most programs share a few cells.
            let strength = (blocks as f64 + 1.0).ln() / (most + 1.0).ln();
            let (x, y) = (size as f64, life as f64);
            (blocks > 0).then(|| Rectangle::new([(x, y), (x + 1.0, y + 1.0)], heat(strength).filled()))
        }))?;
        Ok(())
    })
}

/// Light yellow to dark red.
fn heat(strength: f64) -> HSLColor {
    HSLColor(0.15 - 0.15 * strength, 0.85, 0.90 - 0.55 * strength)
}

fn of_power(power: f64) -> String {
    let size = 2_f64.powf(power).round();
    let unit = unit_of_bytes(size * 2.0);
    // Short, as there are many: 512, 1K, 64K, 1M.
    format!(
        "{}{}",
        size / unit.size,
        unit.name.chars().next().filter(|&letter| letter != 'B').map_or_else(String::new, String::from)
    )
}

/// The first and the last place with something in it.
fn span(counts: impl Iterator<Item = u64>) -> Option<(usize, usize)> {
    let places: Vec<usize> =
        counts.enumerate().filter(|(_, count)| *count > 0).map(|(place, _)| place).collect();
    Some((*places.first()?, *places.last()?))
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws on an empty SVG, and returns it ready to stand in a page.
fn draw(
    size: (u32, u32),
    paint: impl FnOnce(&Area) -> Result<(), Box<dyn std::error::Error>>,
) -> Result<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        paint(&area).map_err(|error| anyhow!("drawing: {error}"))?;
        area.present().map_err(|error| anyhow!("drawing: {error}"))?;
    }
    // A view box instead of a size, so that the page decides how large it is.
    Ok(svg.replacen(&format!("width=\"{}\" height=\"{}\"", size.0, size.1), "", 1))
}
