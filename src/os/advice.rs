//! Advice of madvise(2), and guards. A kernel that does not know an advice answers `EINVAL` and
//! does nothing; the caller then goes without.

use core::ptr::NonNull;

use super::{Result, calls, count};

/// From <linux/mman.h>; the `libc` crate does not have these for every C library.
const MADV_POPULATE_WRITE: libc::c_int = 23;
pub(super) const MADV_DONTNEED_LOCKED: libc::c_int = 24;
const MADV_COLD: libc::c_int = 20;
const MADV_GUARD_INSTALL: libc::c_int = 102;
const MADV_GUARD_REMOVE: libc::c_int = 103;

/// madvise(2), counted.
///
/// # Safety
/// The range belongs to the caller, who expects what the advice does to its contents.
pub(super) unsafe fn advise(start: NonNull<u8>, bytes: usize, advice: libc::c_int) -> Result<()> {
    // SAFETY: forwarded to the caller.
    count::MADVISE.note(unsafe { calls::advise(start, bytes, advice) })
}

/// `MADV_COLD`, since Linux 5.4. As a side effect the kernel splits a huge page of which the range
/// has only a part, so that discarding the part gives it back in full.
///
/// # Safety
/// The range belongs to the caller.
pub(crate) unsafe fn split_huge(start: NonNull<u8>, bytes: usize) -> Result<()> {
    // SAFETY: the advice changes no contents.
    unsafe { advise(start, bytes, MADV_COLD) }
}

/// `MADV_POPULATE_WRITE`, since Linux 5.14: the pages become resident as if they had been written
/// to.
///
/// # Safety
/// The range belongs to the caller.
pub(crate) unsafe fn populate(start: NonNull<u8>, bytes: usize) -> Result<()> {
    // SAFETY: the advice changes no contents.
    unsafe { advise(start, bytes, MADV_POPULATE_WRITE) }
}

/// `MADV_GUARD_INSTALL`, since Linux 6.13: the range loses its pages, and touching it raises
/// `SIGSEGV` from now on. It does not become a mapping of its own.
///
/// # Safety
/// The range is private anonymous memory of the caller, to which nothing refers.
pub(crate) unsafe fn install_guard(start: NonNull<u8>, bytes: usize) -> Result<()> {
    // SAFETY: forwarded to the caller.
    unsafe { advise(start, bytes, MADV_GUARD_INSTALL) }
}

/// `MADV_GUARD_REMOVE`: undoes [`install_guard`]. Those pages read as zero; the others of the range
/// are unchanged.
///
/// # Safety
/// As for [`install_guard`].
pub(crate) unsafe fn remove_guard(start: NonNull<u8>, bytes: usize) -> Result<()> {
    // SAFETY: forwarded to the caller.
    unsafe { advise(start, bytes, MADV_GUARD_REMOVE) }
}

/// mprotect(2), `PROT_NONE`: as [`install_guard`], but the range keeps its pages and becomes a
/// mapping of its own. `ENOMEM` at the limit of mappings.
///
/// # Safety
/// As for [`install_guard`].
pub(crate) unsafe fn forbid(start: NonNull<u8>, bytes: usize) -> Result<()> {
    // SAFETY: forwarded to the caller.
    unsafe { calls::protect(start, bytes, libc::PROT_NONE) }
}

/// mprotect(2), `PROT_READ | PROT_WRITE`: undoes [`forbid`].
///
/// # Safety
/// The range is private anonymous memory of the caller.
pub(crate) unsafe fn permit(start: NonNull<u8>, bytes: usize) -> Result<()> {
    // SAFETY: forwarded to the caller.
    unsafe { calls::protect(start, bytes, libc::PROT_READ | libc::PROT_WRITE) }
}

/// `MADV_HUGEPAGE`: the next faults may bring huge pages. `EINVAL` where the kernel was built
/// without them.
///
/// # Safety
/// The range belongs to the caller.
pub(crate) unsafe fn advise_huge(start: NonNull<u8>, bytes: usize) -> Result<()> {
    // SAFETY: the advice changes no contents.
    unsafe { advise(start, bytes, libc::MADV_HUGEPAGE) }
}

/// `MADV_NOHUGEPAGE`: no further huge pages, also where the kernel makes them without advice.
///
/// # Safety
/// The range belongs to the caller.
pub(crate) unsafe fn advise_not_huge(start: NonNull<u8>, bytes: usize) -> Result<()> {
    // SAFETY: the advice changes no contents.
    unsafe { advise(start, bytes, libc::MADV_NOHUGEPAGE) }
}

/// `MADV_DONTNEED_LOCKED`, since Linux 5.18: `MADV_DONTNEED` for locked pages.
///
/// # Safety
/// As for [`discard`](super::discard).
pub(super) unsafe fn discard_locked(start: NonNull<u8>, bytes: usize) -> Result<()> {
    // SAFETY: forwarded to the caller.
    unsafe { advise(start, bytes, MADV_DONTNEED_LOCKED) }
}
