//! Records the calls of any program to glibc's malloc. `freestone-trace record` preloads it.
//!
//! Each function is glibc's own with a record of the call: an allocation is recorded when the block
//! is there, a free before it is given up. Calls that fail are not recorded.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod aligned;
mod c;
mod glibc;

use core::ffi::{c_char, c_int};

use freestone_trace::tape;

type Constructor = extern "C" fn(c_int, *const *const c_char, *const *const c_char);

#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: Constructor = start;

extern "C" fn start(_: c_int, _: *const *const c_char, environment: *const *const c_char) {
    // The C library's own pointer is not set yet: other libraries' constructors see it.
    // SAFETY: the environment at the start of the program.
    let folder = unsafe { tape::variable(environment, tape::PRELOADED) };
    if let Some(folder) = folder {
        tape::start(folder);
    }
}
