//! The end of the road: one line on standard error, then abort, unless the process wants the line alone.
//! Never unwinds, never allocates.

use crate::base::atomic::{AtomicU8, Ordering};
use crate::base::text::Text;
use crate::os;

/// Longest report line; what does not fit is cut.
const LINE_BYTES: usize = 160;

type Line = Text<LINE_BYTES>;

fn send(line: &Line) {
    os::write_stderr(line.as_bytes());
}

/// Whether [`caught`] only reports.
static REPORT_ONLY: AtomicU8 = AtomicU8::new(0);

/// From now on misuse that can be ignored is reported and ignored.
pub(crate) fn report_only() {
    REPORT_ONLY.store(1, Ordering::Relaxed);
}

/// Reports misuse of the allocator at `address`, and aborts unless the process has chosen
/// [`report_only`]. The caller then does nothing of what it was asked for.
#[cold]
#[inline(never)]
pub(crate) fn caught(what: &str, address: usize) {
    report(what, address);
    if REPORT_ONLY.load(Ordering::Relaxed) == 0 {
        os::abort()
    }
}

/// Reports misuse of the allocator at `address` that nobody can ignore, and aborts.
#[cold]
#[inline(never)]
pub(crate) fn misuse(what: &str, address: usize) -> ! {
    report(what, address);
    os::abort()
}

fn report(what: &str, address: usize) {
    let _keep = os::KeepErrno::new();
    let mut line = Line::new();
    line.bytes(b"freestone: ");
    line.bytes(what.as_bytes());
    line.bytes(b" at ");
    line.hex(address);
    line.byte(b'\n');
    send(&line);
}

/// Reports a broken invariant of the allocator's own and aborts.
#[cold]
#[inline(never)]
#[cfg_attr(not(debug_assertions), expect(dead_code, reason = "only debug builds recompute invariants"))]
pub(crate) fn broken(invariant: &str) -> ! {
    let mut line = Line::new();
    line.bytes(b"freestone: broken invariant: ");
    line.bytes(invariant.as_bytes());
    line.byte(b'\n');
    send(&line);
    os::abort()
}
