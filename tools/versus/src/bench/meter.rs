//! What the kernel says about this process: times, faults, resident memory.
//!
//! Files are read into buffers on the stack, so that reading them asks nothing
//! of the allocator under test.

use std::fs::{self, File};
use std::io::Read;
use std::time::Instant;

/// A measurement under way.
#[derive(Debug)]
pub(crate) struct Meter {
    usage: Usage,
    start_kib: u64,
    cgroup_kib: Option<i64>,
    clock: Instant,
}

/// What a measurement read.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) wall_ns: u64,
    pub(crate) user_ns: u64,
    pub(crate) system_ns: u64,
    pub(crate) minor_faults: u64,
    pub(crate) major_faults: u64,
    pub(crate) start_kib: u64,
    pub(crate) cgroup_kib: Option<i64>,
}

impl Meter {
    /// Starts measuring; the clock is read last.
    pub(crate) fn start() -> Self {
        forget_peak();
        let cgroup_kib = cgroup_charge_kib();
        let start_kib = resident_kib();
        let usage = Usage::now();
        Self { usage, start_kib, cgroup_kib, clock: Instant::now() }
    }

    /// Stops measuring; the clock is read first.
    pub(crate) fn stop(self) -> Reading {
        let wall_ns = u64::try_from(self.clock.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let usage = Usage::now();
        Reading {
            wall_ns,
            user_ns: usage.user_ns - self.usage.user_ns,
            system_ns: usage.system_ns - self.usage.system_ns,
            minor_faults: usage.minor_faults - self.usage.minor_faults,
            major_faults: usage.major_faults - self.usage.major_faults,
            start_kib: self.start_kib,
            cgroup_kib: cgroup_charge_kib().zip(self.cgroup_kib).map(|(end, start)| end - start),
        }
    }
}

/// What is resident now.
#[must_use]
pub fn resident_kib() -> u64 {
    status_kib("VmRSS:")
}

/// The most that was resident since the measuring started.
#[must_use]
pub fn peak_kib() -> u64 {
    status_kib("VmHWM:")
}

/// The process' own counters.
#[derive(Debug)]
struct Usage {
    user_ns: u64,
    system_ns: u64,
    minor_faults: u64,
    major_faults: u64,
}

impl Usage {
    fn now() -> Self {
        // SAFETY: `rusage` is plain numbers, for which zero is a value.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer is to a live `rusage`, which the call fills.
        unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
        let ns = |time: libc::timeval| time.tv_sec as u64 * 1_000_000_000 + time.tv_usec as u64 * 1000;
        Self {
            user_ns: ns(usage.ru_utime),
            system_ns: ns(usage.ru_stime),
            minor_faults: usage.ru_minflt as u64,
            major_faults: usage.ru_majflt as u64,
        }
    }
}

/// Makes the kernel forget the peak so far (proc(5), `clear_refs`), so that the
/// peak of the measured part is not that of its preparation. Where that is not
/// allowed, the peak includes the preparation, for every peer alike.
fn forget_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// A line of `/proc/self/status` that is given in KiB; zero where it is missing.
fn status_kib(field: &str) -> u64 {
    with_text("/proc/self/status", |text| {
        text.lines()
            .find_map(|line| line.strip_prefix(field))
            .and_then(|rest| rest.split_whitespace().next())
            .and_then(|number| number.parse().ok())
    })
    .unwrap_or(0)
}

/// What this process' memory cgroup is charged, where there is one that can be
/// read: version 2 first, then version 1.
fn cgroup_charge_kib() -> Option<i64> {
    with_text("/proc/self/cgroup", |groups| {
        groups.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            let path = path.trim_start_matches('/');
            let file = match controllers {
                "" => format!("/sys/fs/cgroup/{path}/memory.current"),
                "memory" => format!("/sys/fs/cgroup/memory/{path}/memory.usage_in_bytes"),
                _ => return None,
            };
            with_text(&file, |bytes| bytes.trim().parse::<i64>().ok())
        })
    })
    .map(|bytes| bytes / 1024)
}

/// Hands the start of a small file to `read`.
fn with_text<T>(path: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
    let mut buffer = [0; 4096];
    let mut file = File::open(path).ok()?;
    let mut length = 0;
    loop {
        let got = file.read(&mut buffer[length..]).ok()?;
        length += got;
        if got == 0 || length == buffer.len() {
            break;
        }
    }
    read(std::str::from_utf8(&buffer[..length]).ok()?)
}
