//! Standard error, past every buffer of the process and without allocating.

use core::fmt;

use crate::base::text::Text;

/// write(2) to standard error; the rest of a `line` that cannot be written is lost. By number,
/// since the C library's function is a cancellation point (pthreads(7)).
pub(crate) fn write(line: &[u8]) {
    // SAFETY: the slice is readable.
    let _ = unsafe { libc::syscall(libc::SYS_write, libc::STDERR_FILENO, line.as_ptr(), line.len()) };
}

/// Longest piece that is written at once.
const LINE_BYTES: usize = 256;

/// Collects text and writes it at the end of each line, in one call where the line fits. Every text
/// must end with a line's end.
pub(crate) struct Stderr(Text<LINE_BYTES>);

impl Stderr {
    pub(crate) const fn new() -> Self {
        Self(Text::new())
    }

    pub(crate) fn bytes(&mut self, text: &[u8]) {
        for byte in text {
            self.0.byte(*byte);
            if *byte == b'\n' || self.0.is_full() {
                write(self.0.as_bytes());
                self.0.clear();
            }
        }
    }
}

impl fmt::Write for Stderr {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}
