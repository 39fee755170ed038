//! Soon.
pub(crate) fn run(_: &super::cli::Advise) -> anyhow::Result<()> { Ok(()) }
