//! Standard error as a place to write text: past every buffer of the process, a line a call to the
//! kernel where it fits, without allocating.
#![forbid(unsafe_code)]

use core::fmt;

use crate::os;

/// Longest piece that is written at once.
const LINE_BYTES: usize = 256;

/// Collects text and writes it at the end of each line, which every text must have; what cannot be
/// written is lost.
pub(crate) struct Stderr {
    line: [u8; LINE_BYTES],
    len: usize,
}

impl Stderr {
    pub(crate) const fn new() -> Self {
        Self { line: [0; LINE_BYTES], len: 0 }
    }

    pub(crate) fn bytes(&mut self, text: &[u8]) {
        for byte in text {
            if let Some(place) = self.line.get_mut(self.len) {
                *place = *byte;
                self.len = self.len.wrapping_add(1);
            }
            if *byte == b'\n' || self.len == LINE_BYTES {
                self.flush();
            }
        }
    }

    fn flush(&mut self) {
        if let Some(line) = self.line.get(..self.len).filter(|line| !line.is_empty()) {
            os::write_stderr(line);
        }
        self.len = 0;
    }
}

impl fmt::Write for Stderr {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}
