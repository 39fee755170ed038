//! The mapping calls as the kernel has them, uncounted. `freestone::map` and first-class heaps call
//! them directly; the global allocator calls them through `memory` and `advice`, which count for
//! `Stats::calls`. `map::explain` says which errno each gives, and why.

use core::ffi::c_int;
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};
use std::os::fd::{AsRawFd, BorrowedFd};

use super::errno::{answered, mapped};
use super::fault::{self, Call};
use super::{Errno, Result};

/// The file behind a mapping, and the offset at which the mapping begins in it.
pub(crate) type FileAt<'f> = Option<(BorrowedFd<'f>, libc::off_t)>;

/// A file's length and kind, from fstat(2).
pub(crate) struct FileFacts {
    /// Its length in bytes; zero for what has none.
    pub(crate) bytes: u64,
    /// Its kind: one of the `S_IF` values.
    pub(crate) kind: libc::mode_t,
}

/// mmap(2), never over an existing mapping: `MAP_FIXED` is taken out of `flags`.
pub(crate) fn map_at(
    address: usize,
    bytes: usize,
    protection: c_int,
    flags: c_int,
    file: FileAt<'_>,
) -> Result<NonNull<u8>> {
    fault::step(Call::Map)?;
    let (fd, offset) = file.map_or((-1, 0), |(file, offset)| (file.as_raw_fd(), offset));
    let address = ptr::without_provenance_mut(address);
    // SAFETY: without MAP_FIXED, mmap replaces no mapping that exists.
    mapped(unsafe { libc::mmap(address, bytes, protection, flags & !libc::MAP_FIXED, fd, offset) })
}

/// munmap(2). Inlined, so that the compiler sees wherever a mapping is dropped that nothing
/// unwinds.
///
/// # Safety
/// As [`unmap`](super::unmap).
#[inline]
pub(crate) unsafe fn unmap(start: NonNull<u8>, bytes: usize) -> Result<()> {
    fault::step(Call::Unmap)?;
    // SAFETY: forwarded to the caller.
    answered(unsafe { libc::munmap(start.as_ptr().cast(), bytes) })
}

/// mremap(2) without moving.
///
/// # Safety
/// As [`remap_in_place`](super::remap_in_place).
pub(crate) unsafe fn remap_in_place(start: NonNull<u8>, old: usize, new: usize) -> Result<()> {
    fault::step(Call::Remap)?;
    // SAFETY: forwarded to the caller; without MREMAP_MAYMOVE the start stays.
    mapped(unsafe { libc::mremap(start.as_ptr().cast(), old, new, 0) }).map(drop)
}

/// mremap(2) with `MREMAP_MAYMOVE`.
///
/// # Safety
/// As [`remap`](super::remap).
pub(crate) unsafe fn remap(start: NonNull<u8>, old: usize, new: usize) -> Result<NonNull<u8>> {
    fault::step(Call::Remap)?;
    // SAFETY: forwarded to the caller.
    mapped(unsafe { libc::mremap(start.as_ptr().cast(), old, new, libc::MREMAP_MAYMOVE) })
}

/// mremap(2) with `MREMAP_FIXED`.
///
/// # Safety
/// As [`remap_to`](super::remap_to).
pub(super) unsafe fn remap_to(start: NonNull<u8>, old: usize, new: usize, target: NonNull<u8>) -> Result<()> {
    fault::step(Call::Remap)?;
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
    let target = target.as_ptr().cast::<libc::c_void>();
    // SAFETY: forwarded to the caller.
    mapped(unsafe { libc::mremap(start.as_ptr().cast(), old, new, flags, target) }).map(drop)
}

/// mprotect(2).
///
/// # Safety
/// The range belongs to the caller, and no reference into it needs what is taken away.
pub(crate) unsafe fn protect(start: NonNull<u8>, bytes: usize, protection: c_int) -> Result<()> {
    fault::step(Call::Protect)?;
    // SAFETY: forwarded to the caller.
    answered(unsafe { libc::mprotect(start.as_ptr().cast(), bytes, protection) })
}

/// msync(2).
pub(crate) fn sync(start: NonNull<u8>, bytes: usize, flags: c_int) -> Result<()> {
    fault::step(Call::Sync)?;
    // SAFETY: msync changes no byte of memory; a range that is not mapped is an error.
    answered(unsafe { libc::msync(start.as_ptr().cast(), bytes, flags) })
}

/// madvise(2).
///
/// # Safety
/// The range belongs to the caller, who expects what the advice does to its contents.
pub(crate) unsafe fn advise(start: NonNull<u8>, bytes: usize, advice: c_int) -> Result<()> {
    fault::step(Call::Advise)?;
    // SAFETY: forwarded to the caller.
    answered(unsafe { libc::madvise(start.as_ptr().cast(), bytes, advice) })
}

/// madvise(2) with `MADV_DONTNEED`: gives the pages back, as [`discard`](super::discard), but
/// uncounted.
///
/// # Safety
/// As there.
pub(crate) unsafe fn discard(start: NonNull<u8>, bytes: usize) -> Result<()> {
    // SAFETY: forwarded to the caller.
    match unsafe { advise(start, bytes, libc::MADV_DONTNEED) } {
        // SAFETY: forwarded to the caller.
        Err(Errno(libc::EINVAL)) => unsafe { advise(start, bytes, super::advice::MADV_DONTNEED_LOCKED) },
        answer => answer,
    }
}

/// mlock(2): the pages become resident and stay.
pub(crate) fn lock(start: NonNull<u8>, bytes: usize) -> Result<()> {
    // SAFETY: mlock changes no byte of memory; a range that is not mapped is an error.
    answered(unsafe { libc::mlock(start.as_ptr().cast(), bytes) })
}

/// mlock2(2) with `MLOCK_ONFAULT`, since Linux 4.4: each page stays once it has been touched. By
/// number, since glibc has the function only from 2.27 on.
pub(crate) fn lock_on_fault(start: NonNull<u8>, bytes: usize) -> Result<()> {
    // SAFETY: as `lock`.
    let status = unsafe { libc::syscall(libc::SYS_mlock2, start.as_ptr(), bytes, libc::MLOCK_ONFAULT) };
    if status == 0 { Ok(()) } else { Err(Errno::last()) }
}

/// munlock(2).
pub(crate) fn unlock(start: NonNull<u8>, bytes: usize) -> Result<()> {
    // SAFETY: munlock changes no byte of memory; a range that is not mapped is an error.
    answered(unsafe { libc::munlock(start.as_ptr().cast(), bytes) })
}

/// mincore(2): a byte for each OS page of the range, whose lowest bit is set for a resident page.
///
/// # Safety
/// `into` holds a byte for each page.
pub(crate) unsafe fn residency(start: NonNull<u8>, bytes: usize, into: *mut u8) -> Result<()> {
    // SAFETY: forwarded to the caller.
    answered(unsafe { libc::mincore(start.as_ptr().cast(), bytes, into) })
}

/// process_vm_readv(2) on this process: the kernel copies out of `from`. Where an instruction would
/// raise a signal, the call gives `EFAULT` or fewer bytes than requested.
pub(crate) fn read_memory(from: NonNull<u8>, into: &mut [u8]) -> Result<usize> {
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let remote = libc::iovec { iov_base: from.as_ptr().cast(), iov_len: into.len() };
    // SAFETY: the kernel writes to `into` alone, and checks every address that it reads.
    let copied =
        unsafe { libc::process_vm_readv(libc::getpid(), &raw const local, 1, &raw const remote, 1, 0) };
    usize::try_from(copied).map_err(|_| Errno::last())
}

/// process_vm_writev(2) on this process: the kernel copies into `to`. Errors as for
/// [`read_memory`].
///
/// # Safety
/// The range belongs to the caller, and nothing refers to it.
pub(crate) unsafe fn write_memory(to: NonNull<u8>, from: &[u8]) -> Result<usize> {
    let local = libc::iovec { iov_base: from.as_ptr().cast_mut().cast(), iov_len: from.len() };
    let remote = libc::iovec { iov_base: to.as_ptr().cast(), iov_len: from.len() };
    // SAFETY: forwarded to the caller; the kernel only reads `from`.
    let copied =
        unsafe { libc::process_vm_writev(libc::getpid(), &raw const local, 1, &raw const remote, 1, 0) };
    usize::try_from(copied).map_err(|_| Errno::last())
}

/// fstat(2).
pub(crate) fn file_facts(file: BorrowedFd<'_>) -> Result<FileFacts> {
    let mut facts = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `facts` is writable for the call.
    answered(unsafe { libc::fstat(file.as_raw_fd(), facts.as_mut_ptr()) })?;
    // SAFETY: fstat succeeded, so it filled the whole structure.
    let facts = unsafe { facts.assume_init() };
    Ok(FileFacts { bytes: u64::try_from(facts.st_size).unwrap_or(0), kind: facts.st_mode & libc::S_IFMT })
}

/// fstatfs(2): bytes of a huge page, for a file in hugetlbfs; none for any other file.
pub(crate) fn huge_page_of(file: BorrowedFd<'_>) -> Result<Option<usize>> {
    /// `HUGETLBFS_MAGIC` of statfs(2), whose type differs between C libraries.
    const HUGETLBFS: u32 = 0x9584_58f6;
    let mut facts = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: `facts` is writable for the call.
    answered(unsafe { libc::fstatfs(file.as_raw_fd(), facts.as_mut_ptr()) })?;
    // SAFETY: fstatfs succeeded, so it filled the whole structure.
    let facts = unsafe { facts.assume_init() };
    Ok((facts.f_type as u32 == HUGETLBFS).then_some(facts.f_bsize as usize))
}

/// ftruncate(2).
pub(crate) fn set_file_bytes(file: BorrowedFd<'_>, bytes: libc::off_t) -> Result<()> {
    // SAFETY: no memory is passed. Shortening a file takes pages from its mappings, which
    // is why references into those are unsafe to make.
    answered(unsafe { libc::ftruncate(file.as_raw_fd(), bytes) })
}
