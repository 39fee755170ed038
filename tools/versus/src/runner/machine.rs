//! What this machine is: what a reader needs to know to believe a figure.

use std::ffi::CStr;
use std::fs;
use std::process::Command;
use std::thread;

use serde::{Deserialize, Serialize};

/// This machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_mib: u64,
    pub(crate) kernel: String,
    pub(crate) page_bytes: u64,
    /// Transparent huge pages: which processes get them.
    pub(crate) huge_pages: String,
    pub(crate) libc: String,
    pub(crate) compiler: String,
    /// Processes that wanted to run, one minute's average, when the run began.
    pub(crate) load_before: String,
}

impl Machine {
    /// Asks the kernel, the C library and the compiler.
    pub(crate) fn this() -> Self {
        Self {
            processor: field("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
            cores: thread::available_parallelism().map_or(1, usize::from),
            memory_mib: memory_kib("MemTotal") / 1024,
            kernel: line("/proc/sys/kernel/osrelease"),
            page_bytes: page_bytes(),
            huge_pages: huge_pages(),
            libc: libc_version(),
            compiler: compiler(),
            load_before: load(),
        }
    }
}

/// A line of `/proc/meminfo`; zero where it is missing.
pub(crate) fn memory_kib(name: &str) -> u64 {
    field("/proc/meminfo", name).and_then(|value| value.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Processes that want to run, averaged over a minute.
pub(crate) fn load() -> String {
    line("/proc/loadavg").split(' ').next().map_or_else(unknown, str::to_owned)
}

/// Bytes in a page.
pub(crate) fn page_bytes() -> u64 {
    // SAFETY: asks for a number.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn line(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| unknown(), |text| text.trim().to_owned())
}

fn field(path: &str, name: &str) -> Option<String> {
    fs::read_to_string(path).ok()?.lines().find_map(|line| {
        let (field, value) = line.split_once(':')?;
        (field.trim() == name).then(|| value.trim().to_owned())
    })
}

/// The mode in brackets is the one in force.
fn huge_pages() -> String {
    let modes = line("/sys/kernel/mm/transparent_hugepage/enabled");
    match modes.split_once('[').and_then(|(_, rest)| rest.split_once(']')) {
        Some((mode, _)) => mode.to_owned(),
        None => modes,
    }
}

#[cfg(target_env = "gnu")]
fn libc_version() -> String {
    // SAFETY: the result is a C string that lives as long as the process.
    let version = unsafe { CStr::from_ptr(libc::gnu_get_libc_version()) };
    format!("glibc {}", version.to_string_lossy())
}

#[cfg(not(target_env = "gnu"))]
fn libc_version() -> String {
    unknown()
}

fn compiler() -> String {
    Command::new("rustc")
        .arg("--version")
        .output()
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map_or_else(unknown, |text| text.trim().to_owned())
}
