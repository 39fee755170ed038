//! What the kernel says of this process.

use std::fs;

/// Keeps libc's own allocator, which libc itself uses here and there, from reserving 64 MiB for
/// each thread: the books would show its address space, not Freestone's.
pub(crate) fn one_libc_arena() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no other thread exists yet, as mallopt(3) wants it.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// One reading of `/proc/self/smaps_rollup` and of the mapped total.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// Bytes of address space.
    pub(crate) mapped: usize,
    /// Resident bytes, of the program's files too.
    pub(crate) resident: usize,
    /// Resident anonymous bytes: heaps and stacks.
    pub(crate) anonymous: usize,
}

impl Memory {
    /// Now. Where a file is missing, what it says counts as zero.
    pub(crate) fn now() -> Self {
        let rollup = fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
        let (mapped, resident) = quick();
        Self { mapped, resident, anonymous: kilobytes(&rollup, "Anonymous:") }
    }
}

/// The most that was ever resident.
pub(crate) fn resident_peak() -> usize {
    kilobytes(&fs::read_to_string("/proc/self/status").unwrap_or_default(), "VmHWM:")
}

/// Bytes of a line such as `Rss:  12 kB`.
fn kilobytes(text: &str, name: &str) -> usize {
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    let value = value.and_then(|rest| rest.trim().strip_suffix("kB"));
    value.and_then(|number| number.trim().parse::<usize>().ok()).unwrap_or(0) << 10
}

/// Mapped and resident bytes, without walking the page tables.
pub(crate) fn quick() -> (usize, usize) {
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let mut pages = text.split_ascii_whitespace().map(|field| field.parse::<usize>().unwrap_or(0));
    // SAFETY: no preconditions.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
    (pages.next().unwrap_or(0) * page, pages.next().unwrap_or(0) * page)
}
