//! The end of the road: one line on standard error, then abort, unless the process wants the line alone.
//! Never unwinds, never allocates.

use crate::base::atomic::{AtomicU8, Ordering};
use crate::os;

/// Longest report line; what does not fit is cut.
const LINE_BYTES: usize = 160;

/// A line built on the stack.
struct Line {
    text: [u8; LINE_BYTES],
    len: usize,
}

impl Line {
    const fn new() -> Self {
        Self { text: [0; LINE_BYTES], len: 0 }
    }

    fn byte(&mut self, byte: u8) {
        if let Some(slot) = self.text.get_mut(self.len) {
            *slot = byte;
            self.len = self.len.wrapping_add(1);
        }
    }

    fn text(&mut self, text: &str) {
        for byte in text.bytes() {
            self.byte(byte);
        }
    }

    fn hex(&mut self, value: usize) {
        self.text("0x");
        let mut started = false;
        for shift in (0..usize::BITS).step_by(4).rev() {
            let digit = (value >> shift) as u8 & 0xf;
            started |= digit != 0 || shift == 0;
            if started {
                self.byte(digit.wrapping_add(if digit < 10 { b'0' } else { b'a' - 10 }));
            }
        }
    }

    fn send(&self) {
        if let Some(line) = self.text.get(..self.len) {
            os::write_stderr(line);
        }
    }
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
    line.text("freestone: ");
    line.text(what);
    line.text(" at ");
    line.hex(address);
    line.byte(b'\n');
    line.send();
}

/// Reports a broken invariant of the allocator's own and aborts.
#[cold]
#[inline(never)]
#[cfg_attr(not(debug_assertions), expect(dead_code, reason = "only debug builds recompute invariants"))]
pub(crate) fn broken(invariant: &str) -> ! {
    let mut line = Line::new();
    line.text("freestone: broken invariant: ");
    line.text(invariant);
    line.byte(b'\n');
    line.send();
    os::abort()
}
