//! The report as a page.

use anyhow::Result;

use super::results::Report;
use super::verdict::Findings;

pub(crate) fn page(_report: &Report, _findings: &Findings) -> Result<String> {
    Ok(String::new())
}
