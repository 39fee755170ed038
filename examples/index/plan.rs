//! The list of files to index, which the parent hands to both children so that they index exactly
//! the same text.
//!
//! Imitates `find -print0`: on the wire an entry is `<bytes> <path>\0`, since a path is bytes and
//! need not be UTF-8.

use std::ffi::OsString;
use std::io::{self, BufRead, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// One text file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) path: PathBuf,
    /// How much of the file is indexed, from its start: all of it, but for the file that meets the
    /// limit.
    pub(crate) bytes: u64,
}

pub(crate) fn write_plan(entries: &[Entry], mut to: impl Write) -> io::Result<()> {
    for entry in entries {
        write!(to, "{} ", entry.bytes)?;
        to.write_all(entry.path.as_os_str().as_bytes())?;
        to.write_all(b"\0")?;
    }
    to.flush()
}

pub(crate) fn read_plan(from: impl BufRead) -> io::Result<Vec<Entry>> {
    from.split(0)
        .map(|line| {
            let line = line?;
            parse_entry(&line)
                .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not an entry of a plan"))
        })
        .collect()
}

fn parse_entry(line: &[u8]) -> Option<Entry> {
    let space = line.iter().position(|&byte| byte == b' ')?;
    let (bytes, path) = (line.get(..space)?, line.get(space + 1..)?);
    Some(Entry {
        path: PathBuf::from(OsString::from_vec(path.to_vec())),
        bytes: str::from_utf8(bytes).ok()?.parse().ok()?,
    })
}
