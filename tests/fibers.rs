//! Fibers that sleep on one thread and wake on another, with Freestone inlined into a shared
//! library: each call of the allocator works on the heap of the thread that makes it.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod common;

use std::ffi::{CString, c_uint, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::child;

/// The example `fibers` of the release profile, whatever the test's: else the compiler keeps
/// nothing over a switch.
fn fibers() -> PathBuf {
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--release", "--example", "fibers"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    for (feature, is_on) in [
        ("background-purge", cfg!(feature = "background-purge")),
        ("dynamic-tls", cfg!(feature = "dynamic-tls")),
        ("initial-exec", cfg!(feature = "initial-exec")),
        ("secure", cfg!(feature = "secure")),
    ] {
        if is_on {
            build.args(["--features", feature]);
        }
    }
    assert!(build.status().expect("cargo runs").success(), "{build:?}");
    let test = std::env::current_exe().expect("a test knows where it is");
    let target = test.ancestors().nth(3).expect("target/<profile>/deps/<test>");
    target.join("release/examples/libfibers.so")
}

type Work = extern "C" fn(c_uint) -> u64;

fn load(path: &Path) -> Work {
    let path = CString::new(path.as_os_str().as_bytes()).expect("a path without a null");
    // SAFETY: the library has no constructors but the standard library's own.
    let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    assert!(!handle.is_null(), "{path:?} cannot be loaded");
    // SAFETY: the handle is open and the name a C string.
    let work = unsafe { libc::dlsym(handle, c"fibers_work".as_ptr()) };
    assert!(!work.is_null());
    // SAFETY: the example defines the function with this type.
    unsafe { std::mem::transmute::<*mut c_void, Work>(work) }
}

/// Switches of each of the 32 fibers. One may go well with the wrong heap, so many do not.
const ROUNDS: c_uint = 20_000;

#[test]
fn a_fiber_that_wakes_on_another_thread_uses_that_threads_heap() {
    let path = fibers();
    child::succeeds("a_fiber_that_wakes_on_another_thread_uses_that_threads_heap", || {
        // The numbers below ROUNDS twice, and a one for each.
        assert_eq!(load(&path)(ROUNDS), 32 * u64::from(ROUNDS) * u64::from(ROUNDS));
    });
}
