//! `FREESTONE_PROFILE`: profiling a program from outside, and its profile when it exits.

use core::ffi::CStr;
use std::ffi::OsStr;
use std::fs::File;
use std::io::BufWriter;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::samples::Quiet;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sys;

static READ: AtomicBool = AtomicBool::new(false);

/// Once: starts the profiler if the environment says so.
#[inline]
pub(super) fn read_environment() {
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
    if path().is_some() && sys::at_exit(write).is_ok() {
        super::start(super::DEFAULT_INTERVAL_BYTES);
    }
}

fn path() -> Option<&'static CStr> {
    if sys::is_privileged() {
        return None;
    }
    sys::variable(c"FREESTONE_PROFILE").filter(|path| !path.is_empty())
}

/// Writes the profile; runs when the process exits.
extern "C-unwind" fn write() {
    let Some(path) = path() else { return };
    let _quiet = Quiet::new();
    let path = Path::new(OsStr::from_bytes(path.to_bytes()));
    let written = File::create(path).map(BufWriter::new).and_then(|file| {
        if path.extension().is_some_and(|extension| extension == "svg") {
            super::flame_graph(file)
        } else {
            super::dump(file)
        }
    });
    if written.is_err() {
        sys::write_stderr(b"freestone: the profile could not be written\n");
    }
}
