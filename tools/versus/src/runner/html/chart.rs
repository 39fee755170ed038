//! The kinds of plot: points, and lines over named places.

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::super::results::Report;
use super::super::roster::SUBJECT;

/// Colours that are told apart by most eyes, the subject's first.
const COLOURS: [RGBColor; 10] = [
    RGBColor(0xd6, 0x2b, 0x2b),
    RGBColor(0x55, 0x55, 0x55),
    RGBColor(0x1f, 0x77, 0xb4),
    RGBColor(0xe6, 0x8a, 0x00),
    RGBColor(0x2c, 0x9a, 0x4b),
    RGBColor(0x8e, 0x5b, 0xc4),
    RGBColor(0x8c, 0x56, 0x4b),
    RGBColor(0xe3, 0x77, 0xc2),
    RGBColor(0xb5, 0xb5, 0xb5),
    RGBColor(0x17, 0xa2, 0xb8),
];

/// How the vertical axis counts.
#[derive(Clone, Copy)]
pub(super) enum Scale {
    /// From zero, evenly.
    Linear,
    /// By factors.
    Log,
}

impl Scale {
    fn place(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Log => value.max(f64::MIN_POSITIVE).log10(),
        }
    }

    fn value(self, place: f64) -> f64 {
        match self {
            Self::Linear => place,
            Self::Log => 10_f64.powf(place),
        }
    }
}

/// What one allocator did.
pub(super) struct Series<'a> {
    pub(super) name: &'a str,
    pub(super) points: Vec<(f64, f64)>,
}

/// An axis: what it says and how its values are shown.
pub(super) struct Axis<'a> {
    pub(super) title: &'a str,
    pub(super) show: &'a dyn Fn(f64) -> String,
}

/// What all plots of a report share.
pub(super) struct Charts<'a> {
    pub(super) report: &'a Report,
}

impl Charts<'_> {
    fn style(&self, name: &str) -> (RGBColor, u32) {
        let width = if name == SUBJECT { 3 } else { 1 };
        (colour(name, self.report), width)
    }

    /// One point an allocator, both axes from zero.
    pub(super) fn points(&self, x: &Axis, y: &Axis, series: &[Series]) -> Result<String> {
        let (right, top) = extent(series);
        draw((440, 270), |area| {
            let mut chart = ChartBuilder::on(area)
                .margin(8)
                .margin_right(30)
                .x_label_area_size(38)
                .y_label_area_size(68)
                .build_cartesian_2d(0.0..right * 1.08, 0.0..top * 1.12)?;
            chart
                .configure_mesh()
                .x_labels(5)
                .y_labels(5)
                .x_desc(x.title)
                .y_desc(y.title)
                .x_label_formatter(&|value| (x.show)(*value))
                .y_label_formatter(&|value| (y.show)(*value))
                .light_line_style(TRANSPARENT)
                .bold_line_style(RGBColor(0xe8, 0xe8, 0xe8))
                .draw()?;
            for one in series {
                let (colour, width) = self.style(one.name);
                chart.draw_series(
                    one.points.iter().map(|&point| Circle::new(point, 3 + width, colour.filled())),
                )?;
            }
            Ok(())
        })
    }

    /// One line an allocator over evenly spaced places with names.
    pub(super) fn lines(
        &self,
        size: (u32, u32),
        places: &[String],
        x: &str,
        y: &Axis,
        scale: Scale,
        series: &[Series],
    ) -> Result<String> {
        let (_, top) = extent(series);
        let bottom = match scale {
            Scale::Linear => 0.0,
            Scale::Log => series
                .iter()
                .flat_map(|one| &one.points)
                .map(|point| scale.place(point.1 * 0.8))
                .fold(f64::INFINITY, f64::min),
        };
        let top = scale.place(top * 1.1);
        let last = places.len().saturating_sub(1) as f64;
        draw(size, |area| {
            let mut chart = ChartBuilder::on(area)
                .margin(8)
                .x_label_area_size(38)
                .y_label_area_size(68)
                .build_cartesian_2d(-0.15..last + 0.15, bottom..top)?;
            chart
                .configure_mesh()
                .x_labels(places.len().min(13))
                .y_labels(6)
                .x_desc(x)
                .y_desc(y.title)
                .x_label_formatter(&|&value| {
                    // Only whole places have names.
                    let nearest = value.round();
                    let named = (value - nearest).abs() < 0.01 && nearest >= 0.0;
                    let name = named.then(|| places.get(nearest as usize)).flatten();
                    name.cloned().unwrap_or_default()
                })
                .y_label_formatter(&|&value| (y.show)(scale.value(value)))
                .light_line_style(TRANSPARENT)
                .bold_line_style(RGBColor(0xe8, 0xe8, 0xe8))
                .draw()?;
            for one in series {
                let (colour, width) = self.style(one.name);
                let points = one.points.iter().map(|&(x, y)| (x, scale.place(y)));
                chart.draw_series(LineSeries::new(points.clone(), colour.stroke_width(width + 1)))?;
                if places.len() <= 8 {
                    chart.draw_series(points.map(|point| Circle::new(point, 2 + width, colour.filled())))?;
                }
            }
            Ok(())
        })
    }
}

/// A dot of an allocator's colour.
pub(super) fn swatch(name: &str, report: &Report) -> String {
    let RGBColor(red, green, blue) = colour(name, report);
    format!("<span class=\"swatch\" style=\"background:rgb({red} {green} {blue})\"></span>")
}

/// Name of the line that shows what the program itself holds.
pub(super) const LIVE: &str = "held by the program";

fn colour(name: &str, report: &Report) -> RGBColor {
    match report.peers.iter().position(|peer| peer.name == name) {
        Some(place) => COLOURS[place % COLOURS.len()],
        None => BLACK,
    }
}

fn extent(series: &[Series]) -> (f64, f64) {
    series
        .iter()
        .flat_map(|one| &one.points)
        .fold((f64::MIN_POSITIVE, f64::MIN_POSITIVE), |(right, top), &(x, y)| (right.max(x), top.max(y)))
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

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
    let fixed = format!("width=\"{}\" height=\"{}\"", size.0, size.1);
    Ok(svg.replacen(&fixed, "", 1))
}
