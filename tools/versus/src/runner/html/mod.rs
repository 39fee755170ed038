//! The report as one page that needs nothing else: style and plots are in it.

mod chart;
mod details;
mod heat;
mod plots;

use std::fmt::Write;

use anyhow::Result;

use super::metric::Metric;
use super::results::Report;
use super::roster::{Role, SUBJECT};
use super::table;
use super::targets;
use super::verdict::{Findings, Verdict};

/// The page.
pub(crate) fn page(report: &Report, findings: &Findings) -> Result<String> {
    let mut page = String::new();
    write!(
        page,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>Freestone against its peers, {date}</title><style>{style}</style></head><body>\
         <h1>Freestone against its peers</h1>",
        date = report.date(),
        style = include_str!("style.css"),
    )?;
    page += "<ul class=\"remarks\">";
    for remark in table::remarks(report, findings) {
        write!(page, "<li>{}</li>", escape(&remark))?;
    }
    page += "</ul>";
    contents(&mut page)?;
    summary(&mut page, report, findings)?;
    target_table(&mut page, report, findings)?;
    page += "<h2 id=\"ratios\">Ratios</h2><p>Freestone divided by each other: below 1 (green) Freestone \
             is better, above 1 (red) it is worse. ✓ won, = tied (the spread is larger than the \
             difference), − behind, ✗ lost (the whole interval lies beyond the bound). The best peer \
             of a row is underlined. Hover over a figure for its interval.</p>";
    for metric in [
        Metric::Time,
        Metric::Tail,
        Metric::Peak,
        Metric::Average,
        Metric::Idle,
        Metric::After,
        Metric::Purged,
        Metric::Processor,
    ] {
        heat::table(&mut page, report, findings, metric)?;
    }
    plots::all(&mut page, report)?;
    details::all(&mut page, report)?;
    page += "</body></html>\n";
    Ok(page)
}

fn contents(page: &mut String) -> Result<()> {
    page.push_str("<nav>");
    for (id, title) in [
        ("summary", "In all"),
        ("targets", "Targets"),
        ("ratios", "Ratios"),
        ("trade", "Time against memory"),
        ("scaling", "Thread scaling"),
        ("latency", "Latency"),
        ("resident", "Resident over time"),
        ("figures", "Figures"),
    ] {
        write!(page, "<a href=\"#{id}\">{title}</a> ")?;
    }
    page.push_str("</nav>");
    Ok(())
}

fn summary(page: &mut String, report: &Report, findings: &Findings) -> Result<()> {
    page.push_str(
        "<h2 id=\"summary\">In all</h2><table><tr><th>against<th class=\"text\">version<th>time<th>won<th>tied\
         <th>behind<th>lost<th>peak memory<th>won<th>tied<th>behind<th>lost</tr>",
    );
    for peer in report.peers.iter().filter(|peer| peer.role != Role::Subject) {
        let what = match peer.role {
            Role::Floor => " (floor, not ranked)",
            _ => "",
        };
        write!(
            page,
            "<tr><th>{}{}{what}<td class=\"text\">{}",
            chart::swatch(&peer.name, report),
            escape(&peer.name),
            escape(&peer.version)
        )?;
        for metric in [Metric::Time, Metric::Peak] {
            match findings.mean(metric, &peer.name) {
                Some(mean) => write!(page, "<td style=\"{}\">{mean:.2}", heat::colour(mean))?,
                None => page.push_str("<td>"),
            }
            for verdict in [Verdict::Won, Verdict::Tied, Verdict::Behind, Verdict::Lost] {
                let count = findings.count(metric, &peer.name, verdict);
                let class = if count == 0 { "none" } else { verdict.word() };
                write!(page, "<td class=\"{class}\">{count}")?;
            }
        }
        page.push_str("</tr>");
    }
    write!(
        page,
        "</table><p>Geometric means of the ratios of {SUBJECT} to each over all rows, and how many rows ended how.</p>"
    )?;
    Ok(())
}

fn target_table(page: &mut String, report: &Report, findings: &Findings) -> Result<()> {
    page.push_str(
        "<h2 id=\"targets\">Targets</h2><table><tr><th>target<th>at most<th>reached<th class=\"text\">where<th></tr>",
    );
    for target in targets::judge(report, findings) {
        let (figure, place) = target
            .reached
            .as_ref()
            .map_or_else(Default::default, |(figure, place)| (format!("{figure:.2}"), place.clone()));
        let class = match target.met() {
            Some(true) => "won",
            Some(false) => "lost",
            None => "tied",
        };
        write!(
            page,
            "<tr><td class=\"text\">{}<td>{:.2}<td>{figure}<td class=\"text\">{}<td class=\"{class}\">{}</tr>",
            escape(&target.what),
            target.bound,
            escape(&place),
            target.word()
        )?;
    }
    page.push_str("</table>");
    Ok(())
}

/// Text as HTML has it.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
