//! One binary an allocator, built by cargo as any user would.

use std::env;
use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cli::{Linking, Plan};
use super::roster::{Candidate, Role, Source};

/// An allocator that is ready to be measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Peer {
    pub(crate) name: String,
    pub(crate) role: Role,
    /// Which allocator this is, with versions.
    pub(crate) version: String,
    /// Left out of the report: where a binary lies is nobody's business.
    #[serde(skip)]
    pub(crate) binary: PathBuf,
}

/// The allocators that could be built, and those that couldn't.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    pub(crate) peers: Vec<Peer>,
    pub(crate) left_out: Vec<LeftOut>,
}

/// An allocator that is not in the table, and why.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LeftOut {
    pub(crate) name: String,
    pub(crate) reason: String,
}

/// Builds what the plan asks for. A peer that can't be built is left out; without
/// the subject there is nothing to measure.
pub(crate) fn build(plan: &Plan) -> Result<Roster> {
    let wanted: Vec<&Candidate> =
        plan.candidates.iter().filter(|candidate| matches!(candidate.source, Source::Build { .. })).collect();
    eprintln!("building {} allocators", wanted.len());
    let mut built = cargo(&wanted, plan.linking).unwrap_or_default();
    let mut roster = Roster::default();
    for candidate in &plan.candidates {
        let peer = match &candidate.source {
            Source::Path(path) => Ok(ready(candidate, path.clone(), "built earlier")),
            Source::Copy => copy_subject(&roster, candidate),
            Source::Build { packages, .. } => {
                // One that fails takes all of a build with it: then each is
                // built by itself.
                if built.binary(candidate).is_none() {
                    match cargo(&[candidate], plan.linking) {
                        Ok(alone) => built.add(alone),
                        Err(error) => {
                            roster.leave_out(candidate, &error)?;
                            continue;
                        }
                    }
                }
                built
                    .binary(candidate)
                    .map(|binary| ready(candidate, binary, &built.versions(packages)))
                    .context("cargo built nothing of that name")
            }
        };
        match peer {
            Ok(peer) => roster.peers.push(peer),
            Err(error) => roster.leave_out(candidate, &error)?,
        }
    }
    Ok(roster)
}

impl Roster {
    fn leave_out(&mut self, candidate: &Candidate, error: &anyhow::Error) -> Result<()> {
        if candidate.role == Role::Subject {
            bail!("{} can't be built: {error:#}", candidate.name);
        }
        eprintln!("left out: {} ({error:#})", candidate.name);
        self.left_out.push(LeftOut { name: candidate.name.clone(), reason: format!("{error:#}") });
        Ok(())
    }
}

fn ready(candidate: &Candidate, binary: PathBuf, version: &str) -> Peer {
    Peer { name: candidate.name.clone(), role: candidate.role, version: version.to_owned(), binary }
}

/// Copies the subject's binary, so that the copy differs in its name alone.
fn copy_subject(roster: &Roster, candidate: &Candidate) -> Result<Peer> {
    let subject = roster.peers.first().context("there is no subject")?;
    let binary = subject.binary.with_file_name(format!("peer-{}", candidate.name));
    fs::copy(&subject.binary, &binary).context("copying the subject")?;
    Ok(ready(candidate, binary, "the same binary under another name"))
}

/// What cargo says it built.
#[derive(Debug, Default)]
struct Built {
    /// Name of the binary and where it lies.
    binaries: Vec<(String, PathBuf)>,
    /// Name and version of every package in it.
    packages: Vec<(String, String)>,
}

impl Built {
    fn binary(&self, candidate: &Candidate) -> Option<PathBuf> {
        let name = target(candidate);
        self.binaries.iter().find(|(built, _)| *built == name).map(|(_, path)| path.clone())
    }

    fn versions(&self, packages: &[&str]) -> String {
        if packages.is_empty() {
            return "with the system or this tool".to_owned();
        }
        let named: Vec<String> = packages
            .iter()
            .filter_map(|wanted| self.packages.iter().find(|(name, _)| name == wanted))
            .map(|(name, version)| format!("{name} {version}"))
            .collect();
        named.join(", ")
    }

    fn add(&mut self, other: Self) {
        self.binaries.extend(other.binaries);
        self.packages.extend(other.packages);
    }

    /// Takes what is of use from one of cargo's messages.
    fn note(&mut self, message: &Value) {
        if message["reason"] != "compiler-artifact" {
            return;
        }
        if let Some(package) = message["package_id"].as_str().and_then(package) {
            self.packages.push(package);
        }
        if let (Some(name), Some(path)) = (message["target"]["name"].as_str(), message["executable"].as_str())
        {
            self.binaries.push((name.to_owned(), PathBuf::from(path)));
        }
    }
}

/// Name and version in a package id: `...#name@version`, or `.../name#version`
/// where the folder has the package's name.
fn package(id: &str) -> Option<(String, String)> {
    let (source, name_and_version) = id.rsplit_once('#')?;
    let (name, version) =
        name_and_version.split_once('@').or_else(|| Some((source.rsplit('/').next()?, name_and_version)))?;
    // What follows a plus is of no interest to semantic versioning.
    let version = version.split('+').next()?;
    Some((name.to_owned(), version.to_owned()))
}

fn target(candidate: &Candidate) -> String {
    format!("peer-{}", candidate.name)
}

/// Builds the binaries of `candidates` in one go.
fn cargo(candidates: &[&Candidate], linking: Linking) -> Result<Built> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(["build", "--message-format=json-render-diagnostics", "--manifest-path"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
    match linking {
        Linking::Plain => command.arg("--release"),
        Linking::Lto => command.args([
            "--profile=versus-lto",
            "--config=profile.versus-lto.inherits='release'",
            "--config=profile.versus-lto.lto='fat'",
            "--config=profile.versus-lto.codegen-units=1",
        ]),
    };
    if let Some(folder) = target_folder() {
        command.arg("--target-dir").arg(folder);
    }
    for candidate in candidates {
        command.arg("--bin").arg(target(candidate));
        if let Source::Build { feature: Some(feature), .. } = candidate.source {
            command.arg("--features").arg(feature);
        }
    }
    let mut child = command.stdout(Stdio::piped()).spawn().context("cargo can't be started")?;
    let mut built = Built::default();
    let messages = child.stdout.take().context("cargo says nothing")?;
    for message in serde_json::Deserializer::from_reader(BufReader::new(messages)).into_iter() {
        built.note(&message.context("cargo speaks no JSON")?);
    }
    if !child.wait()?.success() {
        bail!("does not build on this machine; the README names what it needs");
    }
    Ok(built)
}

/// The folder that this program itself was built in, so that nothing is built
/// twice: two above the binary.
fn target_folder() -> Option<PathBuf> {
    Some(env::current_exe().ok()?.parent()?.parent()?.to_owned())
}
