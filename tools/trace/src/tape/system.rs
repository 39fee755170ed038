//! The calls of the kernel. They go by number: the C library's functions of the same names are
//! cancellation points, which no allocator may be.

use core::ffi::{CStr, c_long, c_void};
use core::ptr::{self, NonNull};

use crate::format::EXTENT_BYTES;

/// Private zeroed memory that is zero again in the child after a fork (madvise(2), Linux 4.14).
pub(super) fn map_wiped_on_fork(bytes: usize) -> Option<NonNull<u8>> {
    // SAFETY: a new mapping touches nothing that exists.
    let memory = unsafe {
        libc::mmap(
            ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if memory == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: the mapping is ours.
    if unsafe { libc::madvise(memory, bytes, libc::MADV_WIPEONFORK) } != 0 {
        return None;
    }
    NonNull::new(memory.cast())
}

/// Makes a file that must not exist yet, with those first bytes.
pub(super) fn create(path: &CStr, bytes: &[u8]) -> bool {
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC | libc::O_NOFOLLOW;
    let Some(file) = open(path, flags) else { return false };
    // SAFETY: the slice is readable.
    let written =
        unsafe { libc::syscall(libc::SYS_pwrite64, file, bytes.as_ptr(), bytes.len(), 0 as libc::off_t) };
    close(file);
    written == bytes.len() as c_long
}

/// Maps that extent of the file, with room on the disk for it.
pub(super) fn map_extent(path: &CStr, offset: u64) -> Option<NonNull<u8>> {
    let file = open(path, libc::O_RDWR | libc::O_CLOEXEC | libc::O_NOFOLLOW)?;
    let offset = offset as libc::off_t;
    // SAFETY: numbers only.
    let got = unsafe { libc::syscall(libc::SYS_fallocate, file, 0, offset, EXTENT_BYTES as libc::off_t) };
    // SAFETY: a new mapping touches nothing that exists.
    let memory = (got == 0).then(|| unsafe {
        libc::mmap(
            ptr::null_mut(),
            EXTENT_BYTES,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_POPULATE,
            file as i32,
            offset,
        )
    });
    close(file);
    memory.filter(|&memory| memory != libc::MAP_FAILED).and_then(|memory| NonNull::new(memory.cast()))
}

/// Unmaps an extent. Its bytes are in the file.
///
/// # Safety
/// Nobody uses it any more.
pub(super) unsafe fn unmap_extent(start: *mut u8) {
    // SAFETY: forwarded to the caller.
    unsafe { libc::munmap(start.cast::<c_void>(), EXTENT_BYTES) };
}

fn open(path: &CStr, flags: i32) -> Option<c_long> {
    // SAFETY: the path is a C string.
    let file = unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, 0o600) };
    (file >= 0).then_some(file)
}

fn close(file: c_long) {
    // SAFETY: the descriptor was opened here.
    unsafe { libc::syscall(libc::SYS_close, file) };
}

/// Nanoseconds since the machine started.
pub(super) fn now() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live `timespec`.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    (now.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec as u64)
}

/// The target of a symbolic link.
pub(super) fn read_link(path: &CStr, buffer: &mut [u8]) -> usize {
    // SAFETY: the buffer is writable.
    let got = unsafe { libc::readlink(path.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) };
    usize::try_from(got).unwrap_or(0)
}
