//! Clocks, yielding and sleeping.

use core::ptr;

use super::KeepErrno;

/// Milliseconds on a clock that only goes forward, as of the kernel's last tick (clock_gettime(2),
/// `CLOCK_MONOTONIC_COARSE`).
#[inline]
pub(crate) fn now_ms() -> u64 {
    let time = read_clock(libc::CLOCK_MONOTONIC_COARSE);
    (time.tv_sec as u64).wrapping_mul(1000).wrapping_add(time.tv_nsec as u64 / 1_000_000)
}

/// Nanoseconds on a clock that only goes forward (clock_gettime(2), `CLOCK_MONOTONIC`).
pub(crate) fn now_ns() -> u64 {
    let time = read_clock(libc::CLOCK_MONOTONIC);
    (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
}

/// clock_gettime(2). A clock that the kernel lacks or forbids stands at zero: then nothing decays
/// with time.
#[inline]
fn read_clock(clock: libc::clockid_t) -> libc::timespec {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable for the call.
    let _ = unsafe { libc::clock_gettime(clock, &raw mut time) };
    time
}

/// sched_yield(2): lets another thread run. On Linux it always succeeds.
pub(crate) fn yield_now() {
    // SAFETY: no preconditions.
    let _ = unsafe { libc::syscall(libc::SYS_sched_yield) };
}

/// The time as the kernel takes it: whole seconds apart, since it refuses them in `tv_nsec`
/// (`EINVAL`).
pub(super) fn timespec_of_ns(nanoseconds: u64) -> libc::timespec {
    libc::timespec { tv_sec: (nanoseconds / 1_000_000_000) as _, tv_nsec: (nanoseconds % 1_000_000_000) as _ }
}

/// nanosleep(2). A signal ends it early (`EINTR`): the caller looks again anyway. By number, since
/// the C library's function is a cancellation point (pthreads(7)).
pub(crate) fn sleep_ns(nanoseconds: u64) {
    let time = timespec_of_ns(nanoseconds);
    let _keep = KeepErrno::new();
    // SAFETY: `time` is readable for the call; null means that the remainder is not wanted.
    let _ = unsafe { libc::syscall(libc::SYS_nanosleep, &raw const time, ptr::null_mut::<libc::timespec>()) };
}
