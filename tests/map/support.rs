//! What the tests of the mapping floor share.

use std::fs::{self, File};
use std::io::Write;

use freestone::map::Mapping;

pub(crate) use crate::common::forked::{Ending, WELL, in_child};

/// Reads a byte with an instruction.
pub(crate) fn touch(address: *const u8) -> u8 {
    // SAFETY: what may fault does so in a child; elsewhere the caller mapped it.
    unsafe { address.read_volatile() }
}

/// Writes a byte with an instruction.
pub(crate) fn poke(address: *mut u8, byte: u8) {
    // SAFETY: what may fault does so in a child; elsewhere the caller mapped it.
    unsafe { address.write_volatile(byte) }
}

/// Bytes of an OS page.
pub(crate) fn page() -> usize {
    Mapping::anonymous(1).map().expect("a page can be mapped").page_bytes()
}

/// A file without a name that holds `content`.
pub(crate) fn file(content: &[u8]) -> File {
    let mut file = tempfile::tempfile().expect("a temporary file can be made");
    file.write_all(content).expect("it can be written");
    file
}

/// Bytes that differ between any two places near each other, and between pages.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|place| (place % 251) as u8).collect()
}

/// What /proc/self/smaps says in `field` about the mapping that contains `address`.
pub(crate) fn smaps(address: usize, field: &str) -> Option<String> {
    crate::common::smaps::field(address, field)
}

/// Kilobytes in `field` of /proc/self/smaps.
pub(crate) fn smaps_kb(address: usize, field: &str) -> u64 {
    let text = smaps(address, field).expect("the address is mapped");
    text.strip_suffix(" kB").expect("kilobytes").parse().expect("a number")
}

/// Whether anything is mapped at `address`.
pub(crate) fn mapped(address: usize) -> bool {
    smaps(address, "Size").is_some()
}

/// Pages of address space that the process has, from /proc/self/statm.
pub(crate) fn address_space_pages() -> usize {
    let text = fs::read_to_string("/proc/self/statm").expect("procfs is mounted");
    text.split_whitespace().next().expect("a first field").parse().expect("a number")
}

/// The type that names a limit, which each C library chooses.
#[cfg(target_env = "gnu")]
pub(crate) type Resource = libc::__rlimit_resource_t;
#[cfg(not(target_env = "gnu"))]
pub(crate) type Resource = libc::c_int;

/// Sets one of this process's limits: for children.
pub(crate) fn limit(which: Resource, bytes: u64) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: `limit` is readable for the call.
    assert_eq!(unsafe { libc::setrlimit(which, &raw const limit) }, 0);
}

/// Gives up root's privileges, if there are any: for children.
pub(crate) fn become_ordinary() {
    // SAFETY: no memory is passed.
    if unsafe { libc::geteuid() } == 0 {
        const NOBODY: libc::uid_t = 65534;
        // SAFETY: no memory is passed.
        assert_eq!(unsafe { libc::setresuid(NOBODY, NOBODY, NOBODY) }, 0);
    }
}
