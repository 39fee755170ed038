//! Reports of misuse and of broken invariants: one line on standard error, then abort(3), unless
//! the process has chosen the line alone. Never unwinds, never allocates.

use super::{KeepErrno, stderr};
use crate::base::atomic::{AtomicBool, Ordering};
use crate::base::text::Text;

/// Longest report line; what does not fit is cut.
const LINE_BYTES: usize = 160;

/// Whether [`caught`] only reports.
static REPORT_ONLY: AtomicBool = AtomicBool::new(false);

/// From now on misuse that can be ignored is reported and ignored.
pub(crate) fn report_only() {
    REPORT_ONLY.store(true, Ordering::Relaxed);
}

/// Reports misuse at `address`, and aborts unless the process has chosen [`report_only`]. Where it
/// returns, the caller ignores the request.
#[cold]
#[inline(never)]
pub(crate) fn caught(what: &str, address: usize) {
    report(what, address);
    if !REPORT_ONLY.load(Ordering::Relaxed) {
        abort()
    }
}

/// Reports misuse at `address` that cannot be ignored, and aborts.
#[cold]
#[inline(never)]
pub(crate) fn misuse(what: &str, address: usize) -> ! {
    report(what, address);
    abort()
}

/// Reports a broken invariant of the allocator's own, and aborts.
#[cold]
#[inline(never)]
#[cfg_attr(not(debug_assertions), expect(dead_code, reason = "only debug builds recompute invariants"))]
pub(crate) fn broken(invariant: &str) -> ! {
    let mut line = Text::<LINE_BYTES>::new();
    line.bytes(b"freestone: broken invariant: ");
    line.bytes(invariant.as_bytes());
    line.byte(b'\n');
    stderr::write(line.as_bytes());
    abort()
}

fn report(what: &str, address: usize) {
    let _keep = KeepErrno::new();
    let mut line = Text::<LINE_BYTES>::new();
    line.bytes(b"freestone: ");
    line.bytes(what.as_bytes());
    line.bytes(b" at ");
    line.hex(address);
    line.byte(b'\n');
    stderr::write(line.as_bytes());
}

/// abort(3): ends the process with `SIGABRT`.
fn abort() -> ! {
    // SAFETY: no preconditions.
    unsafe { libc::abort() }
}
