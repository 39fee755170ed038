//! What happens once, before the first block is handed out: the options are put in force.

use core::ffi::c_char;
use core::fmt::Write;

use crate::observe::stats;
use crate::os;
use crate::os::stderr::Stderr;
use crate::policy::options::{self, Options};

/// Puts `options`, and what the environment says, in force if none are yet.
#[inline]
pub(super) fn with(options: &Options) {
    if !options::are_in_force() {
        begin(options::propose(options));
    }
}

/// As [`with`], for doors through which a program says nothing about options.
#[inline]
pub(super) fn with_defaults() {
    if !options::are_in_force() {
        begin(options::propose_defaults());
    }
}

/// As [`with_defaults`], with an environment that the C library does not know yet.
///
/// # Safety
/// `environment` is null or a null-terminated array of C strings that stay as they are.
pub(super) unsafe fn with_environment(environment: *const *const c_char) {
    // SAFETY: forwarded to the caller.
    begin(unsafe { options::propose_with(environment) });
}

/// Does what the options ask for at the start, if this call has put them in force.
#[cold]
#[inline(never)]
fn begin(is_first: bool) {
    if is_first && options::get().show_stats {
        // May allocate, so it comes after everything else. Without memory for it there is no table.
        let _ = os::at_exit(print_stats);
    }
}

extern "C-unwind" fn print_stats() {
    let _ = write!(Stderr::new(), "{}", stats::stats().with_resident());
}
