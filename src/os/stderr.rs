//! Standard error as a place to write text: past every buffer of the process, a line a call to the
//! kernel where it fits, without allocating.
#![forbid(unsafe_code)]

use core::fmt;

use crate::base::text::Text;
use crate::os;

/// Longest piece that is written at once.
const LINE_BYTES: usize = 256;

/// Collects text and writes it at the end of each line, which every text must have; what cannot be
/// written is lost.
pub(crate) struct Stderr(Text<LINE_BYTES>);

impl Stderr {
    pub(crate) const fn new() -> Self {
        Self(Text::new())
    }

    pub(crate) fn bytes(&mut self, text: &[u8]) {
        for byte in text {
            self.0.byte(*byte);
            if *byte == b'\n' || self.0.is_full() {
                os::write_stderr(self.0.as_bytes());
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
