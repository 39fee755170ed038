//! What a trace amounts to, as one page that needs nothing else.

use std::fmt::Write;

use anyhow::Result;
use freestone_trace::steps::Steps;
use freestone_trace::summary::Summary;

use super::{plots, show};

/// The look of the benchmark's report.
const STYLE: &str = include_str!("../../../versus/src/runner/html/style.css");

/// The page.
pub(crate) fn page(steps: &Steps, summary: &Summary) -> Result<String> {
    let mut page = String::new();
    write!(
        page,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>What {name} asked of its allocator</title><style>{STYLE}</style></head><body>\
         <h1>What {name} asked of its allocator</h1><table>",
        name = escape(&steps.header.name),
    )?;
    for (name, value) in show::facts(steps, summary) {
        write!(page, "<tr><th>{name}<td class=\"text\">{}</tr>", escape(&value))?;
    }
    page.push_str("</table>");
    figure(
        &mut page,
        "Live bytes over time",
        "The clock is read every 32 calls of a thread.",
        &plots::over_time(summary)?,
    )?;
    figure(
        &mut page,
        "Live bytes over calls",
        "Each call of any thread counts as one.",
        &plots::over_calls(summary)?,
    )?;
    figure(&mut page, "Sizes", "How often sizes were requested, by powers of two.", &plots::sizes(summary)?)?;
    figure(
        &mut page,
        "Size by lifetime",
        "Blocks that were freed; the darker, the more, by factors. A lifetime is counted in calls of all threads.",
        &plots::lifetimes(summary)?,
    )?;
    heading(&mut page, "Size classes", "What is requested, by powers of two.")?;
    table(&mut page, &show::SIZE_HEADER, &show::size_rows(summary))?;
    heading(
        &mut page,
        "Rounding up",
        "What each allocator's size classes add to the bytes requested, without what it keeps beside blocks.",
    )?;
    table(&mut page, &show::WASTE_HEADER, &show::waste_rows(summary))?;
    page.push_str("</body></html>\n");
    Ok(page)
}

fn heading(page: &mut String, title: &str, text: &str) -> Result<()> {
    write!(page, "<h2>{title}</h2><p>{text}</p>")?;
    Ok(())
}

fn figure(page: &mut String, title: &str, text: &str, svg: &str) -> Result<()> {
    heading(page, title, text)?;
    write!(page, "<figure class=\"wide\">{svg}</figure>")?;
    Ok(())
}

fn table(page: &mut String, header: &[&str], rows: &[Vec<String>]) -> Result<()> {
    page.push_str("<table><thead><tr>");
    header.iter().try_for_each(|title| write!(page, "<th>{title}"))?;
    page.push_str("</tr></thead>");
    for row in rows {
        page.push_str("<tr>");
        for (place, cell) in row.iter().enumerate() {
            write!(page, "<{}>{}", if place == 0 { "th" } else { "td" }, escape(cell))?;
        }
        page.push_str("</tr>");
    }
    page.push_str("</table>");
    Ok(())
}

/// Text as HTML has it.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
