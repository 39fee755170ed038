//! What the kernel says that this process uses.

use std::fs;
use std::mem::MaybeUninit;

/// Resident bytes of this process.
pub(crate) fn resident() -> usize {
    status("VmRSS:")
}

/// Bytes of address space of this process, which `RLIMIT_AS` limits.
pub(crate) fn mapped() -> usize {
    status("VmSize:")
}

/// A line of /proc/self/status, in bytes. The kernel keeps some of the counts a thread and sums
/// them up here precisely, unlike in statm.
fn status(name: &str) -> usize {
    let text = fs::read_to_string("/proc/self/status").expect("Linux has /proc");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a line of that name");
    let kib = line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number of kB");
    kib << 10
}

/// Page faults of this process so far.
pub(crate) fn page_faults() -> usize {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `usage` is writable for the call.
    let status = unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) };
    assert_eq!(status, 0);
    // SAFETY: zeroes are a valid rusage, and the kernel has filled it in.
    let usage = unsafe { usage.assume_init() };
    usize::try_from(usage.ru_minflt + usage.ru_majflt).expect("a count")
}

/// Bytes of an OS page.
pub(crate) fn page_bytes() -> usize {
    // SAFETY: sysconf has no preconditions.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).expect("a size")
}

/// Whether the kernel has transparent huge pages; where it has none it knows no advice about them.
pub(crate) fn has_huge_pages() -> bool {
    std::path::Path::new("/sys/kernel/mm/transparent_hugepage").exists()
}

/// Whether the kernel knows guards that are no mappings: since Linux 6.13.
pub(crate) fn has_guard_marks() -> bool {
    const MADV_GUARD_INSTALL: i32 = 102;
    let (bytes, protection) = (page_bytes(), libc::PROT_READ | libc::PROT_WRITE);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a fresh page, which stays.
    unsafe {
        let page = libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0);
        assert_ne!(page, libc::MAP_FAILED);
        libc::madvise(page, bytes, MADV_GUARD_INSTALL) == 0
    }
}
