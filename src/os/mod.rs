//! The floor that calls the kernel: one function a system call, its errno as a value. Only files that have
//! a path of the program's, those of first-class heaps and of profiles, are opened and written by `std`, and
//! `std` finds out which huge pages there are.
//!
//! Callers treat every errno as an ordinary answer. The minimum kernel is Linux 4.4; what is
//! newer is probed by its first use and has a fallback where it is used.

use core::num::NonZeroUsize;
use core::ptr::{self, NonNull};

use crate::base::atomic::{AtomicI32, AtomicUsize, Ordering};

mod advice;
#[cfg(feature = "background-purge")]
pub(crate) mod background;
pub(crate) mod cgroup;
pub(crate) mod count;
mod errno;
pub(crate) mod fatal;
pub(crate) mod fault;
pub(crate) mod file;
pub(crate) mod lock;
pub(crate) mod mapping;
pub(crate) mod mutex;
pub(crate) mod object;
mod process;
mod random;
mod status;
pub(crate) mod stderr;
pub(crate) mod watch;

use advice::discard_locked;
pub(crate) use advice::{advise_not_huge, forbid, install_guard, permit, populate, remove_guard, split_huge};
pub(crate) use errno::{Errno, KeepErrno};
#[cfg(feature = "profile")]
pub(crate) use process::variable;
pub(crate) use process::{environment, is_privileged, most_mappings, read_file, wiped_word};
pub(crate) use random::{random, start_words};
pub(crate) use status::{resident_bytes, thread_id};

/// An answer of the kernel.
pub(crate) type Result<T> = core::result::Result<T, Errno>;

/// Bytes of an OS page, as the kernel says at run time; a power of two.
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

fn checked(pointer: *mut libc::c_void) -> Result<NonNull<u8>> {
    if pointer == libc::MAP_FAILED {
        return Err(Errno::last());
    }
    // The kernel never maps page zero unasked; null would be unusable and counts as no memory.
    NonNull::new(pointer.cast()).ok_or(Errno(libc::ENOMEM))
}

fn answered(status: libc::c_int) -> Result<()> {
    if status == 0 { Ok(()) } else { Err(Errno::last()) }
}

/// Flags that every [`map`] has besides its own.
static MAP_FLAGS: AtomicI32 = AtomicI32::new(0);

/// From now on [`map`]s are locked in memory.
pub(crate) fn map_locked() {
    MAP_FLAGS.fetch_or(libc::MAP_LOCKED, Ordering::Relaxed);
}

/// From now on [`map`]s do not count for the overcommit limit before they are touched.
pub(crate) fn map_without_reserve() {
    MAP_FLAGS.fetch_or(libc::MAP_NORESERVE, Ordering::Relaxed);
}

/// `mmap` of fresh, private, anonymous, readable and writable memory; known zero.
/// `hint` is where the kernel should look first, and may be ignored.
pub(crate) fn map(hint: Option<NonZeroUsize>, bytes: usize) -> Result<NonNull<u8>> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | MAP_FLAGS.load(Ordering::Relaxed);
    count::MMAP.note(mapping::map_at(hint.map_or(0, NonZeroUsize::get), bytes, protection, flags, None))
}

/// As [`map`] without a hint, but never locked: nothing is faulted in.
pub(crate) fn map_unlocked(bytes: usize) -> Result<NonNull<u8>> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let more = MAP_FLAGS.load(Ordering::Relaxed) & !libc::MAP_LOCKED;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | more;
    count::MMAP.note(mapping::map_at(0, bytes, protection, flags, None))
}

/// As [`map`], of address space that does not count for the overcommit limit (`MAP_NORESERVE`).
pub(crate) fn map_unreserved(hint: Option<NonZeroUsize>, bytes: usize) -> Result<NonNull<u8>> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    count::MMAP.note(mapping::map_at(hint.map_or(0, NonZeroUsize::get), bytes, protection, flags, None))
}

/// `munmap`. May fail with `ENOMEM` when it would split a mapping at the map-count limit;
/// the range is then as before.
///
/// # Safety
/// The range belongs to the caller, and nothing refers to it any more.
pub(crate) unsafe fn unmap(start: NonNull<u8>, bytes: usize) -> Result<()> {
    watch::open(start.as_ptr(), bytes);
    // SAFETY: forwarded to the caller.
    count::MUNMAP.note(unsafe { mapping::unmap(start, bytes) })
}

/// `mremap` without moving: grows or shrinks the mapping where it is.
///
/// # Safety
/// The mapping belongs to the caller; what a shrink cuts off is referred to by nothing.
pub(crate) unsafe fn remap_in_place(start: NonNull<u8>, old: usize, new: usize) -> Result<()> {
    // SAFETY: forwarded to the caller.
    count::MREMAP.note(unsafe { mapping::remap_in_place(start, old, new) })
}

/// `mremap(MREMAP_MAYMOVE)`: resizes the mapping, moving its pages' places, not their bytes.
///
/// # Safety
/// The mapping belongs to the caller, who forgets `start` when the call succeeds.
pub(crate) unsafe fn remap(start: NonNull<u8>, old: usize, new: usize) -> Result<NonNull<u8>> {
    // SAFETY: forwarded to the caller.
    count::MREMAP.note(unsafe { mapping::remap(start, old, new) })
}

/// `mremap(MREMAP_FIXED)`: moves the mapping to `target`, replacing what is there, and makes it as long as `new`.
///
/// # Safety
/// Both ranges belong to the caller, they do not overlap, and nothing refers to the target.
pub(crate) unsafe fn remap_to(start: NonNull<u8>, old: usize, new: usize, target: NonNull<u8>) -> Result<()> {
    // SAFETY: forwarded to the caller.
    count::MREMAP.note(unsafe { mapping::remap_to(start, old, new, target) })
}

/// `madvise(MADV_DONTNEED)`: gives the pages back; after success the range reads as zero.
/// After a failure its contents are unknown: part of it may have been zeroed (madvise(2)).
/// Locked pages take `MADV_DONTNEED_LOCKED`, since Linux 5.18.
///
/// # Safety
/// The range is private anonymous memory of the caller, who needs its contents no more.
pub(crate) unsafe fn discard(start: NonNull<u8>, bytes: usize) -> Result<()> {
    // SAFETY: forwarded to the caller.
    match unsafe { advice::advise(start, bytes, libc::MADV_DONTNEED) } {
        // SAFETY: forwarded to the caller.
        Err(Errno(libc::EINVAL)) => unsafe { discard_locked(start, bytes) },
        answer => answer,
    }
}

/// `madvise(MADV_HUGEPAGE)`: huge pages on the next faults, where the kernel has them on request.
///
/// # Safety
/// The range belongs to the caller.
pub(crate) unsafe fn advise_huge(start: NonNull<u8>, bytes: usize) -> Result<()> {
    // SAFETY: the advice changes no contents.
    unsafe { advice::advise(start, bytes, libc::MADV_HUGEPAGE) }
}

/// Milliseconds on a clock that only goes forward, to the kernel's tick.
#[inline]
pub(crate) fn now_ms() -> u64 {
    let time = read_clock(libc::CLOCK_MONOTONIC_COARSE);
    (time.tv_sec as u64).wrapping_mul(1000).wrapping_add(time.tv_nsec as u64 / 1_000_000)
}

/// A clock that is missing stands at zero: no decay, and nothing takes long.
#[inline]
fn read_clock(clock: libc::clockid_t) -> libc::timespec {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable for the call.
    let _ = unsafe { libc::clock_gettime(clock, &raw mut time) };
    time
}

/// Nanoseconds on a clock that only goes forward.
pub(crate) fn now_ns() -> u64 {
    let time = read_clock(libc::CLOCK_MONOTONIC);
    (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
}

/// Lets another thread run.
pub(crate) fn yield_now() {
    // SAFETY: no preconditions.
    let _ = unsafe { libc::syscall(libc::SYS_sched_yield) };
}

/// Sleeps, by the bare system call: libc's wrapper is a cancellation point.
pub(crate) fn sleep_ns(nanoseconds: i64) {
    let time = libc::timespec { tv_sec: 0, tv_nsec: nanoseconds };
    let _keep = KeepErrno::new();
    // SAFETY: `time` is readable for the call; null means that the rest is not wanted.
    let _ = unsafe { libc::syscall(libc::SYS_nanosleep, &raw const time, ptr::null_mut::<libc::timespec>()) };
}

/// Writes `line` to standard error, by the bare system call as well; what cannot be written is lost.
pub(crate) fn write_stderr(line: &[u8]) {
    // SAFETY: the slice is readable.
    let _ = unsafe { libc::syscall(libc::SYS_write, libc::STDERR_FILENO, line.as_ptr(), line.len()) };
}

/// Ends the process with `SIGABRT`.
pub(crate) fn abort() -> ! {
    // SAFETY: no preconditions.
    unsafe { libc::abort() }
}

/// Handlers that libc calls. Not plain `extern "C"`, whose every call to another function
/// would come with code, and a reference to the panic machinery, for an unwinding that never is.
pub(crate) type ExitHandler = unsafe extern "C-unwind" fn(*mut libc::c_void);
/// As [`ExitHandler`].
pub(crate) type ForkHandler = unsafe extern "C-unwind" fn();
/// As [`ExitHandler`].
pub(crate) type ProcessExitHandler = extern "C-unwind" fn();

mod handlers {
    use super::{ExitHandler, ForkHandler, ProcessExitHandler};

    unsafe extern "C" {
        pub(super) fn pthread_key_create(
            key: *mut libc::pthread_key_t,
            at_exit: Option<ExitHandler>,
        ) -> libc::c_int;
        pub(super) fn pthread_atfork(
            prepare: Option<ForkHandler>,
            parent: Option<ForkHandler>,
            child: Option<ForkHandler>,
        ) -> libc::c_int;
        pub(super) fn atexit(handler: Option<ProcessExitHandler>) -> libc::c_int;
    }
}

/// `pthread_key_create`: `at_exit` runs in each thread that ends with a value set.
pub(crate) fn key_create(at_exit: ExitHandler) -> Result<libc::pthread_key_t> {
    let mut key = 0;
    // SAFETY: `key` is writable for the call, and the handler stays as long as the process.
    match unsafe { handlers::pthread_key_create(&raw mut key, Some(at_exit)) } {
        0 => Ok(key),
        errno => Err(Errno(errno)),
    }
}

/// `pthread_setspecific`. May allocate (glibc does for keys from 32 up).
pub(crate) fn key_set(key: libc::pthread_key_t, value: *const libc::c_void) -> Result<()> {
    // SAFETY: the key was created, and is never deleted.
    match unsafe { libc::pthread_setspecific(key, value) } {
        0 => Ok(()),
        errno => Err(Errno(errno)),
    }
}

/// `pthread_atfork`: `child` runs in forked children. May allocate.
pub(crate) fn at_fork(child: ForkHandler) -> Result<()> {
    // SAFETY: the handler stays as long as the process.
    match unsafe { handlers::pthread_atfork(None, None, Some(child)) } {
        0 => Ok(()),
        errno => Err(Errno(errno)),
    }
}

/// `atexit`. May allocate.
pub(crate) fn at_exit(handler: ProcessExitHandler) -> Result<()> {
    // SAFETY: the handler stays as long as the process.
    match unsafe { handlers::atexit(Some(handler)) } {
        0 => Ok(()),
        _ => Err(Errno(libc::ENOMEM)),
    }
}
