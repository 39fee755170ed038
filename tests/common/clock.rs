//! Processor time, which other programs on the machine do not lengthen.

use std::time::Duration;

/// Processor time so far, user and system, by a clock of clock_gettime(2).
fn processor_time(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure is writable for the call.
    assert_eq!(unsafe { libc::clock_gettime(clock, &raw mut time) }, 0);
    Duration::new(
        time.tv_sec.try_into().expect("not negative"),
        time.tv_nsec.try_into().expect("below a second"),
    )
}

/// What the process has taken.
pub(crate) fn of_process() -> Duration {
    processor_time(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// What the calling thread has taken.
pub(crate) fn of_thread() -> Duration {
    processor_time(libc::CLOCK_THREAD_CPUTIME_ID)
}
