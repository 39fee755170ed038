//! What the tests of the mapping floor share.
#![allow(dead_code, reason = "each test file is a program of its own and uses a part of this")]

use std::fs::{self, File};
use std::io::Write;
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd;
use std::panic::{self, AssertUnwindSafe};

use freestone::map::Mapping;

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Exit(i32),
    Signal(i32),
}

/// A child whose `job` returned.
pub(crate) const WELL: Ending = Ending::Exit(0);
/// A child whose `job` panicked: a failed assertion.
pub(crate) const PANICKED: Ending = Ending::Exit(101);

/// Runs `job` in a child of a fork, and says how that ended. The child has this one thread, so
/// addresses that it unmaps stay free.
pub(crate) fn in_child(job: impl FnOnce()) -> Ending {
    // SAFETY: the child calls `job` and ends; glibc's allocator works after a fork.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork: {}", std::io::Error::last_os_error());
    if child == 0 {
        undisturbed();
        // The harness keeps a test's output to itself, and the child's copy of that would be lost.
        panic::set_hook(Box::new(|why| drop(writeln!(raw_stderr(), "in a child: {why}"))));
        let code = match panic::catch_unwind(AssertUnwindSafe(job)) {
            Ok(()) => 0,
            Err(_) => 101,
        };
        // SAFETY: no handler of the parent's is to run in the child.
        unsafe { libc::_exit(code) }
    }
    let mut status = 0;
    // SAFETY: `status` is writable for the call.
    let ended = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(ended, child, "waitpid: {}", std::io::Error::last_os_error());
    if libc::WIFSIGNALED(status) {
        Ending::Signal(libc::WTERMSIG(status))
    } else {
        Ending::Exit(libc::WEXITSTATUS(status))
    }
}

/// Makes a child's end its own: the standard library's handlers for faults take a lock, which
/// another thread may have held at the fork; and what hangs all the same ends by `SIGALRM`.
fn undisturbed() {
    // SAFETY: the default actions are valid handlers; no memory is passed.
    unsafe {
        libc::signal(libc::SIGSEGV, libc::SIG_DFL);
        libc::signal(libc::SIGBUS, libc::SIG_DFL);
        libc::alarm(60);
    }
}

/// Standard error, past what the harness captures.
fn raw_stderr() -> ManuallyDrop<File> {
    // SAFETY: the descriptor is open, and never closed through this.
    ManuallyDrop::new(unsafe { File::from_raw_fd(libc::STDERR_FILENO) })
}

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
    let text = fs::read_to_string("/proc/self/smaps").expect("procfs is mounted");
    let mut inside = false;
    for line in text.lines() {
        let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
        if let Some((start, end)) = range(first) {
            inside = start <= address && address < end;
        } else if inside && first.strip_suffix(':') == Some(field) {
            return Some(rest.trim().to_owned());
        }
    }
    None
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

fn range(text: &str) -> Option<(usize, usize)> {
    let (start, end) = text.split_once('-')?;
    Some((usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?))
}

/// Sets one of this process's limits: for children.
pub(crate) fn limit(which: libc::__rlimit_resource_t, bytes: u64) {
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
