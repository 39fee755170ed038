//! What processes have written, as packed files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use freestone_trace::format;
use freestone_trace::steps::Steps;

use super::cli::Pack;
use super::{read, text};

/// Runs `pack`.
pub(crate) fn run(arguments: &Pack) -> Result<()> {
    if arguments.from.is_dir() {
        return folder(&arguments.from, &arguments.output, arguments.all, arguments.at_most);
    }
    write(&Steps::of(&read(&arguments.from)?), &arguments.output, arguments.at_most)
}

/// Packs the recordings in `folder`: that with the most calls into `output`, and if `all` is
/// wanted, each other beside it.
pub(crate) fn folder(folder: &Path, output: &Path, all: bool, at_most: Option<usize>) -> Result<()> {
    let mut recordings = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let steps = Steps::of(&read(&path)?);
        if !steps.steps.is_empty() {
            recordings.push((path, steps));
        }
    }
    if recordings.is_empty() {
        bail!("nothing was recorded: is the program statically linked, or has it an allocator of its own?");
    }
    recordings.sort_by_key(|(path, steps)| (usize::MAX - steps.steps.len(), path.clone()));
    for (number, (path, steps)) in recordings.iter().enumerate() {
        let output = if number == 0 { output.to_owned() } else { beside(output, path) };
        if number == 0 || all {
            write(steps, &output, at_most)?;
        }
    }
    if !all && recordings.len() > 1 {
        eprintln!("{} other processes were recorded; --all keeps them", recordings.len() - 1);
    }
    Ok(())
}

/// The output's name with the process's number in it.
fn beside(output: &Path, recording: &Path) -> PathBuf {
    let mut name = output.file_stem().unwrap_or_default().to_owned();
    name.push("-");
    name.push(recording.file_name().unwrap_or_default());
    output.with_file_name(name).with_extension(output.extension().unwrap_or_default())
}

/// Writes `steps`, or as many of them from the beginning as fit into `at_most` bytes.
fn write(steps: &Steps, output: &Path, at_most: Option<usize>) -> Result<()> {
    let mut kept = steps.clone();
    let mut bytes = packed(&kept)?;
    while let Some(most) = at_most.filter(|&most| bytes.len() > most && !kept.steps.is_empty()) {
        // A little less than in proportion, so that few rounds are needed.
        let share = most as f64 / bytes.len() as f64 * 0.98;
        kept.steps.truncate((kept.steps.len() as f64 * share) as usize);
        bytes = packed(&kept)?;
    }
    fs::write(output, &bytes).with_context(|| output.display().to_string())?;
    eprintln!(
        "{}: {}, {} of {} calls by {} threads, {} bytes, {:.2} a call",
        output.display(),
        steps.header.name,
        text::count(kept.steps.len() as u64),
        text::count(steps.steps.len() as u64),
        steps.threads,
        text::count(bytes.len() as u64),
        bytes.len() as f64 / kept.steps.len().max(1) as f64,
    );
    Ok(())
}

fn packed(steps: &Steps) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    format::write(&steps.to_trace(), &mut bytes)?;
    Ok(bytes)
}
