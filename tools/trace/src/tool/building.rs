//! What is built beside this program, with the same profile, when it is needed.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The folder that this program was built into.
fn folder() -> Result<PathBuf> {
    let own = env::current_exe().context("this program's own path")?;
    Ok(own.parent().context("this program lies in no folder")?.to_owned())
}

/// The library that is preloaded.
pub(crate) fn library() -> Result<PathBuf> {
    built("libfreestone_trace_preload.so", &["-p", "freestone-trace-preload"])
}

/// The binary that replays on Freestone.
pub(crate) fn peer() -> Result<PathBuf> {
    built("peer-freestone", &["-p", "freestone-versus", "--bin", "peer-freestone"])
}

/// The binary that replays on the system's allocator, or on what is preloaded.
pub(crate) fn system_peer() -> Result<PathBuf> {
    built("peer-system", &["-p", "freestone-versus", "--bin", "peer-system"])
}

/// Freestone as a library to preload.
pub(crate) fn preload() -> Result<PathBuf> {
    built("libfreestone_preload.so", &["-p", "freestone-preload"])
}

/// The file of that name beside this program. In the repository it is brought up to date first.
fn built(name: &str, arguments: &[&str]) -> Result<PathBuf> {
    let folder = folder()?;
    let path = folder.join(name);
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    if manifest.is_file() {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--quiet", "--manifest-path"]).arg(&manifest).args(arguments);
        if folder.file_name().is_some_and(|name| name == "release") {
            cargo.arg("--release");
        }
        if let Some(target) = folder.parent() {
            cargo.arg("--target-dir").arg(target);
        }
        let built = cargo.status().is_ok_and(|status| status.success());
        if !built && !path.is_file() {
            bail!("{name} does not build");
        }
    }
    if !path.is_file() {
        bail!("{} is missing: it belongs beside this program", path.display());
    }
    Ok(path)
}
