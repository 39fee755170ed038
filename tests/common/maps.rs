//! What the kernel says of the process's mappings, from proc_pid_maps(5) and mincore(2).

use std::fs;

use super::memory::page_bytes;

/// How many mappings the process has.
pub(crate) fn count() -> usize {
    fs::read("/proc/self/maps").expect("Linux has /proc").iter().filter(|byte| **byte == b'\n').count()
}

/// How many it may have.
pub(crate) fn most() -> usize {
    let text = fs::read_to_string("/proc/sys/vm/max_map_count").expect("Linux has it");
    text.trim_end().parse().expect("a number")
}

/// Bytes of the range that are resident.
pub(crate) fn resident(start: *const u8, bytes: usize) -> usize {
    let mut pages = vec![0_u8; bytes.div_ceil(page_bytes())];
    // SAFETY: a byte for each page.
    let status = unsafe { libc::mincore(start.cast_mut().cast(), bytes, pages.as_mut_ptr()) };
    assert_eq!(status, 0, "{start:p} is mapped");
    pages.iter().filter(|page| **page & 1 != 0).count() * page_bytes()
}
