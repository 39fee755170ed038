//! Finds the text to index: walks the directories, reads every file once and keeps those that are
//! text.
//!
//! Imitates `grep`'s notion of text: no NUL byte, and valid UTF-8. The reading is also what warms
//! the page cache, so that neither side of the comparison pays for the disk.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

use indicatif::ProgressBar;
use walkdir::WalkDir;

use crate::Failure;
use crate::plan::Entry;

/// A NUL byte this early settles that a file is binary without reading the rest, as in `grep` and
/// `git`.
const SNIFFED_BYTES: u64 = 8 << 10;

/// The text found.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) entries: Vec<Entry>,
    /// Sum of the entries' bytes.
    pub(crate) bytes: u64,
    pub(crate) binary_files: u64,
    /// Files and directories that could not be opened or read.
    pub(crate) unreadable: u64,
    pub(crate) end: End,
}

/// Why a survey ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum End {
    #[default]
    NothingLeft,
    LimitReached,
}

/// Where to look: the directory asked for, else what Cargo and the toolchain have installed, else
/// this repository.
pub(crate) fn roots(asked: Option<&Path>) -> Result<Vec<PathBuf>, Failure> {
    if let Some(directory) = asked {
        // Opened only to have the kernel's own reason where it can't be.
        return match fs::read_dir(directory) {
            Ok(_) => Ok(vec![directory.to_owned()]),
            Err(reason) => Err(Failure::Directory(directory.to_owned(), reason)),
        };
    }
    let mut roots: Vec<PathBuf> = installed_rust().filter(|root| root.is_dir()).collect();
    if roots.is_empty() {
        roots.push(PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    }
    Ok(roots)
}

/// Where installed crates' sources and the toolchain's sources and documentation usually are.
fn installed_rust() -> impl Iterator<Item = PathBuf> {
    let cargo_home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let sysroot = sysroot();
    let below_sysroot =
        ["lib/rustlib/src", "share/doc"].map(|part| sysroot.as_ref().map(|root| root.join(part)));
    cargo_home.map(|home| home.join("registry/src")).into_iter().chain(below_sysroot.into_iter().flatten())
}

/// The toolchain's directory, where there is a toolchain.
fn sysroot() -> Option<PathBuf> {
    let answer = Command::new("rustc").args(["--print", "sysroot"]).output().ok()?;
    let path = String::from_utf8(answer.stdout).ok()?;
    answer.status.success().then(|| PathBuf::from(path.trim_end()))
}

/// Collects text below `roots`, in an order that depends on file names only, until there are
/// `limit` bytes of it.
///
/// Symbolic links are not followed, so there are no loops and no file comes twice.
pub(crate) fn survey(roots: &[PathBuf], limit: u64, progress: &ProgressBar) -> Survey {
    let mut survey = Survey::default();
    for found in roots.iter().flat_map(|root| WalkDir::new(root).sort_by_file_name()) {
        let entry = match found {
            Ok(entry) if entry.file_type().is_file() => entry,
            Ok(_) => continue,
            Err(_) => {
                survey.unreadable += 1;
                continue;
            }
        };
        let path = entry.into_path();
        match read_text(&path, limit - survey.bytes) {
            Ok(Content::Text { bytes }) => {
                survey.bytes += bytes;
                survey.entries.push(Entry { path, bytes });
            }
            Ok(Content::TextBeyondLimit { bytes }) => {
                survey.bytes += bytes;
                survey.entries.push(Entry { path, bytes });
                survey.end = End::LimitReached;
                break;
            }
            Ok(Content::Binary) => survey.binary_files += 1,
            Err(_) => survey.unreadable += 1,
        }
        progress.set_position(survey.bytes);
    }
    survey
}

/// What a file turned out to be.
#[derive(Debug, PartialEq, Eq)]
enum Content {
    Text {
        bytes: u64,
    },
    /// Text, of which this many bytes fill the limit to within a character.
    TextBeyondLimit {
        bytes: u64,
    },
    Binary,
}

/// Reads a file, but not much beyond `limit` bytes of it.
fn read_text(path: &Path, limit: u64) -> io::Result<Content> {
    let mut file = File::open(path)?;
    let mut content = Vec::new();
    file.by_ref().take(SNIFFED_BYTES).read_to_end(&mut content)?;
    if content.contains(&0) {
        return Ok(Content::Binary);
    }
    // One byte more than the limit tells a file that fills it from one that goes beyond.
    file.take((limit + 1).saturating_sub(SNIFFED_BYTES)).read_to_end(&mut content)?;

    let is_beyond = content.len() as u64 > limit;
    if is_beyond {
        content.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    }
    let text_bytes = match str::from_utf8(&content) {
        Ok(text) => text.len(),
        // The limit may cut a character in two; the file's own end may not.
        Err(error) if is_beyond && error.error_len().is_none() => error.valid_up_to(),
        Err(_) => return Ok(Content::Binary),
    };
    let bytes = text_bytes as u64;
    Ok(if content.contains(&0) {
        Content::Binary
    } else if is_beyond {
        Content::TextBeyondLimit { bytes }
    } else {
        Content::Text { bytes }
    })
}
