//! Children of a fork, which have what the test had: its mappings, heaps and blocks.

use std::fs::File;
use std::io::Write;
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd;
use std::panic::{self, AssertUnwindSafe};

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

/// Seconds after which the kernel ends a child that hangs.
const PATIENCE_SECONDS: u32 = 60;

/// Runs `job` in a child of a fork, and says how that ended. The child has this one thread, so
/// addresses that it unmaps stay free.
pub(crate) fn in_child(job: impl FnOnce()) -> Ending {
    wait(fork(job))
}

/// Runs `job` in a child of a fork, which ends with it. Its process number.
pub(crate) fn fork(job: impl FnOnce()) -> libc::pid_t {
    // SAFETY: the child calls `job` and ends; glibc's allocator and this one work after a fork.
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
    child
}

/// Waits for a child's end.
pub(crate) fn wait(child: libc::pid_t) -> Ending {
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
        libc::alarm(PATIENCE_SECONDS);
    }
}

/// Standard error, past what the harness captures.
fn raw_stderr() -> ManuallyDrop<File> {
    // SAFETY: the descriptor is open, and never closed through this.
    ManuallyDrop::new(unsafe { File::from_raw_fd(libc::STDERR_FILENO) })
}
