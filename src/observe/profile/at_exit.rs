//! `FREESTONE_PROFILE`: profiling a program from outside, and its profile when it exits.

use core::ffi::CStr;
use core::fmt::Write;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::{fs, process};

use crate::base::atomic::{AtomicBool, Ordering};
use crate::heap::sampling::Quiet;
use crate::os;
use crate::os::stderr::Stderr;

static READ: AtomicBool = AtomicBool::new(false);

/// Once: starts the profiler if the environment says so.
#[inline]
pub(crate) fn read_environment() {
    if !READ.load(Ordering::Relaxed) {
        read_slow();
    }
}

#[cold]
fn read_slow() {
    if READ.swap(true, Ordering::Relaxed) {
        return;
    }
    let _quiet = Quiet::new();
    if path().is_some() && os::at_exit(write).is_ok() {
        super::start(super::DEFAULT_INTERVAL_BYTES);
    }
}

fn path() -> Option<&'static CStr> {
    if os::is_privileged() {
        return None;
    }
    os::variable(c"FREESTONE_PROFILE").filter(|path| !path.is_empty())
}

/// Writes the profile; runs when the process exits.
extern "C-unwind" fn write() {
    let Some(path) = path() else { return };
    let _quiet = Quiet::new();
    let path = Path::new(OsStr::from_bytes(path.to_bytes()));
    let is_drawing = path.extension().is_some_and(|extension| extension == "svg");
    let mut profile = Vec::new();
    let written = if is_drawing { super::flame_graph(&mut profile) } else { super::dump(&mut profile) };
    let path = own(path);
    if let Err(error) = written.and_then(|()| fs::write(&path, profile)) {
        let _ = writeln!(Stderr::new(), "freestone: no profile in {}: {error}", path.display());
    }
}

/// The file of this process: its number is put before the name's first dot. A child inherits the
/// variable, or this handler, and must not write over its parent's file.
fn own(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().as_bytes();
    // A dot that the name begins with belongs to it.
    let dot = name.iter().skip(1).position(|byte| *byte == b'.');
    let end = dot.map_or(name.len(), |dot| dot.saturating_add(1));
    let (prefix, rest) = name.split_at_checked(end).unwrap_or((name, &[]));
    let mut own = OsStr::from_bytes(prefix).to_owned();
    own.push(format!(".{}", process::id()));
    own.push(OsStr::from_bytes(rest));
    path.with_file_name(own)
}
