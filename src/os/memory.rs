//! The mapping calls of the global allocator, each counted for `Stats::calls`; and the page size.

use core::num::NonZeroUsize;
use core::ptr::NonNull;

use super::advice::{advise, discard_locked};
use super::{Errno, Result, calls, count, watch};
use crate::base::atomic::{AtomicI32, AtomicUsize, Ordering};

/// Bytes of an OS page (sysconf(3), `_SC_PAGESIZE`); a power of two.
#[inline]
pub(crate) fn page_bytes() -> usize {
    static PAGE: AtomicUsize = AtomicUsize::new(0);
    match PAGE.load(Ordering::Relaxed) {
        0 => {
            // SAFETY: sysconf(_SC_PAGESIZE) has no preconditions and allocates nothing.
            let answer = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
            let page = usize::try_from(answer).ok().filter(|page| page.is_power_of_two()).unwrap_or(4096);
            PAGE.store(page, Ordering::Relaxed);
            page
        }
        page => page,
    }
}

/// Flags that [`map`] adds to its own.
static MAP_FLAGS: AtomicI32 = AtomicI32::new(0);

const READ_WRITE: libc::c_int = libc::PROT_READ | libc::PROT_WRITE;
const ANONYMOUS: libc::c_int = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;

/// From now on [`map`] locks its mappings in memory (`MAP_LOCKED`).
pub(crate) fn map_locked() {
    MAP_FLAGS.fetch_or(libc::MAP_LOCKED, Ordering::Relaxed);
}

/// From now on mappings of [`map`] do not count for the overcommit limit before they are touched
/// (`MAP_NORESERVE`).
pub(crate) fn map_without_reserve() {
    MAP_FLAGS.fetch_or(libc::MAP_NORESERVE, Ordering::Relaxed);
}

/// mmap(2) of private, anonymous, readable and writable memory; zero. The kernel looks at `hint`
/// first, and may ignore it.
pub(crate) fn map(hint: Option<NonZeroUsize>, bytes: usize) -> Result<NonNull<u8>> {
    map_with(hint, bytes, MAP_FLAGS.load(Ordering::Relaxed))
}

/// As [`map`] without a hint, but never locked: nothing is faulted in.
pub(crate) fn map_unlocked(bytes: usize) -> Result<NonNull<u8>> {
    map_with(None, bytes, MAP_FLAGS.load(Ordering::Relaxed) & !libc::MAP_LOCKED)
}

/// As [`map`], of address space that does not count for the overcommit limit and is never locked.
pub(crate) fn map_unreserved(hint: Option<NonZeroUsize>, bytes: usize) -> Result<NonNull<u8>> {
    map_with(hint, bytes, libc::MAP_NORESERVE)
}

fn map_with(hint: Option<NonZeroUsize>, bytes: usize, flags: libc::c_int) -> Result<NonNull<u8>> {
    let address = hint.map_or(0, NonZeroUsize::get);
    count::MMAP.note(calls::map_at(address, bytes, READ_WRITE, ANONYMOUS | flags, None))
}

/// munmap(2). `ENOMEM` where it would split a mapping at the limit of mappings; the range is then
/// as before.
///
/// # Safety
/// The range belongs to the caller, and nothing refers to it any more.
pub(crate) unsafe fn unmap(start: NonNull<u8>, bytes: usize) -> Result<()> {
    watch::open(start.as_ptr(), bytes);
    // SAFETY: forwarded to the caller.
    count::MUNMAP.note(unsafe { calls::unmap(start, bytes) })
}

/// mremap(2) without moving: grows or shrinks the mapping where it is. `ENOMEM` where there is no
/// room.
///
/// # Safety
/// The mapping belongs to the caller; nothing refers to what a shrink cuts off.
pub(crate) unsafe fn remap_in_place(start: NonNull<u8>, old: usize, new: usize) -> Result<()> {
    // SAFETY: forwarded to the caller.
    count::MREMAP.note(unsafe { calls::remap_in_place(start, old, new) })
}

/// mremap(2) with `MREMAP_MAYMOVE`: resizes the mapping. Pages that move are not copied.
///
/// # Safety
/// The mapping belongs to the caller, who forgets `start` when the call succeeds.
pub(crate) unsafe fn remap(start: NonNull<u8>, old: usize, new: usize) -> Result<NonNull<u8>> {
    // SAFETY: forwarded to the caller.
    count::MREMAP.note(unsafe { calls::remap(start, old, new) })
}

/// mremap(2) with `MREMAP_FIXED`: moves the mapping to `target`, replaces what is there, and makes
/// it `new` bytes long.
///
/// # Safety
/// Both ranges belong to the caller, they do not overlap, and nothing refers to the target.
pub(crate) unsafe fn remap_to(start: NonNull<u8>, old: usize, new: usize, target: NonNull<u8>) -> Result<()> {
    // SAFETY: forwarded to the caller.
    count::MREMAP.note(unsafe { calls::remap_to(start, old, new, target) })
}

/// madvise(2), `MADV_DONTNEED`: gives the pages back; after success the range reads as zero.
/// After a failure the contents are unknown, since the kernel may have given back a part.
/// Locked pages (`EINVAL`) take `MADV_DONTNEED_LOCKED`.
///
/// # Safety
/// The range is private anonymous memory of the caller, who needs its contents no more.
pub(crate) unsafe fn discard(start: NonNull<u8>, bytes: usize) -> Result<()> {
    // SAFETY: forwarded to the caller.
    match unsafe { advise(start, bytes, libc::MADV_DONTNEED) } {
        // SAFETY: forwarded to the caller.
        Err(Errno(libc::EINVAL)) => unsafe { discard_locked(start, bytes) },
        answer => answer,
    }
}
