//! Signals that end the process: before it ends so, one more report, with the seed and where
//! every lane is. Misuse that the allocator itself detects comes this way, as SIGABRT.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use crate::failure::{self, Text};
use crate::options::Order;
use crate::run;

const SIGNALS: [(libc::c_int, &str); 5] = [
    (libc::SIGSEGV, "SIGSEGV"),
    (libc::SIGBUS, "SIGBUS"),
    (libc::SIGABRT, "SIGABRT"),
    (libc::SIGILL, "SIGILL"),
    (libc::SIGFPE, "SIGFPE"),
];

/// Installs the handler.
pub(crate) fn prepare() {
    for (signal, _) in SIGNALS {
        // SAFETY: zeroes are a valid `sigaction`; the handler keeps to what signals allow.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = report as *const () as libc::sighandler_t;
            // Once: the same signal again ends the process in the usual way.
            action.sa_flags = libc::SA_RESETHAND | libc::SA_NODEFER | libc::SA_ONSTACK | libc::SA_SIGINFO;
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        }
    }
}

/// Writes a report from the stack alone, then raises the signal again.
extern "C" fn report(signal: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let name = SIGNALS.iter().find(|(number, _)| *number == signal).map_or("a signal", |(_, name)| *name);
    let mut text = Text::new();
    // Writing into `Text` never fails.
    let _ = write!(text, "\nfreestone-stress: crash\n  what:      {name}");
    if signal == libc::SIGSEGV || signal == libc::SIGBUS {
        // SAFETY: the kernel hands a valid siginfo to a handler with SA_SIGINFO.
        let _ = write!(text, " at address {:#x}", unsafe { (*info).si_addr() }.addr());
    }
    // SAFETY: no preconditions.
    let (process, thread) = unsafe { (libc::getpid(), libc::syscall(libc::SYS_gettid)) };
    let _ = writeln!(text, "\n  where:     thread {thread} of process {process}");
    if let Some(run) = run::current() {
        let _ = write!(text, "  seed:      {}\n  operation:", run.options.seed);
        for (number, lane) in run.lanes.iter().enumerate() {
            let _ = write!(text, " {} of lane {number};", lane.operation.load(Ordering::Relaxed));
        }
        let _ = writeln!(text);
        let first = run.lanes.first().map_or(0, |lane| lane.operation.load(Ordering::Relaxed));
        // Alone, a crash may come later than the operation that caused it, never earlier.
        let last = if run.options.order == Order::Strict { first } else { 0 };
        let _ = failure::again(&mut text, run, last);
    }
    text.send(libc::STDERR_FILENO);
    // SAFETY: the handler was reset before this one ran.
    unsafe { libc::raise(signal) };
}
