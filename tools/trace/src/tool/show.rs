//! Soon.
pub(crate) fn run(_: &super::cli::Show) -> anyhow::Result<()> { Ok(()) }
