//! A shared library with an allocator of its own is unloaded, while threads that used it live on,
//! and over and over: nobody runs what is gone, and nothing is left behind that the next load does
//! not find again.
#![cfg(not(target_env = "musl"))]

mod common;

use std::ffi::{CString, c_void};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Barrier};
use std::thread;

use common::child;

/// The example `plugin`, in the profile and with the features of this test.
fn plugin() -> PathBuf {
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--example", "plugin"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    if cfg!(feature = "background-purge") {
        build.args(["--features", "background-purge"]);
    }
    assert!(build.status().expect("cargo runs").success(), "{build:?}");
    let test = std::env::current_exe().expect("a test knows where it is");
    let profile = test.ancestors().nth(2).expect("target/<profile>/deps/<test>");
    profile.join("examples").join("libplugin.so")
}

type Work = extern "C" fn(u32) -> u64;

struct Plugin {
    handle: *mut c_void,
    work: Work,
}

impl Plugin {
    fn load(path: &Path) -> Self {
        let path = CString::new(path.as_os_str().as_bytes()).expect("a path without a null");
        // SAFETY: the library has no constructors but the standard library's own.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!handle.is_null(), "{path:?} cannot be loaded");
        // SAFETY: the handle is open and the name a C string.
        let work = unsafe { libc::dlsym(handle, c"plugin_work".as_ptr()) };
        assert!(!work.is_null());
        // SAFETY: the plugin defines the function with this type.
        Self { handle, work: unsafe { std::mem::transmute::<*mut c_void, Work>(work) } }
    }

    fn unload(self) {
        // SAFETY: the handle is open, and the function is not called any more.
        assert_eq!(unsafe { libc::dlclose(self.handle) }, 0);
    }
}

/// Uses the plugin in threads, unloads it, and lets the threads end.
fn threads_outlive_the_plugin(path: &Path) {
    let plugin = Plugin::load(path);
    let steps = Arc::new(Barrier::new(4));
    let users: Vec<_> = (0..3)
        .map(|_| {
            let (work, steps) = (plugin.work, steps.clone());
            thread::spawn(move || {
                assert!(work(2) > 6 << 20);
                steps.wait();
                steps.wait();
            })
        })
        .collect();
    steps.wait();
    plugin.unload();
    steps.wait();
    users.into_iter().for_each(|user| user.join().expect("a thread ends"));
}

#[test]
fn a_thread_that_used_it_ends_after_it_was_unloaded() {
    let path = plugin();
    child::succeeds("a_thread_that_used_it_ends_after_it_was_unloaded", || threads_outlive_the_plugin(&path));
}

fn mappings() -> usize {
    fs::read_to_string("/proc/self/maps").expect("the kernel's list of mappings").lines().count()
}

fn address_space_kib() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("what the kernel says of the process");
    let line = status.lines().find(|line| line.starts_with("VmSize:")).expect("its size");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

/// More than there are thread keys in a process (`PTHREAD_KEYS_MAX`, 1,024).
const LOADS: usize = 1_100;

fn load_often(path: &Path) {
    let mut before = None;
    for load in 0..LOADS {
        let plugin = Plugin::load(path);
        assert!((plugin.work)(1) > 3 << 20);
        plugin.unload();
        if load == 5 {
            before = Some((mappings(), address_space_kib()));
        }
    }
    let (maps, kib) = before.expect("more loads than that");
    assert!(mappings() <= maps + 4, "{maps} mappings became {}", mappings());
    assert!(address_space_kib() <= kib + 10_240, "{kib} KiB mapped became {}", address_space_kib());
    let mut key = 0;
    // SAFETY: the place is writable, and there is no destructor.
    assert_eq!(unsafe { libc::pthread_key_create(&raw mut key, None) }, 0, "no thread key is left");
}

#[test]
fn a_thousand_loads_leave_no_more_than_one() {
    let path = plugin();
    child::succeeds("a_thousand_loads_leave_no_more_than_one", || load_often(&path));
}
