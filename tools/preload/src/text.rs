//! Text built on the stack, for code that must not allocate.

use core::ffi::c_int;

/// Bytes of the longest text that is written at once.
const ROOM_BYTES: usize = 1024;

/// At most [`ROOM_BYTES`] of text. What does not fit is cut.
pub(crate) struct Text {
    bytes: [u8; ROOM_BYTES],
    len: usize,
}

impl Text {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; ROOM_BYTES], len: 0 }
    }

    fn byte(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(self.len) {
            *slot = byte;
            self.len = self.len.wrapping_add(1);
        }
    }

    /// Adds `text`.
    pub(crate) fn add(&mut self, text: &str) -> &mut Self {
        for byte in text.bytes() {
            self.byte(byte);
        }
        self
    }

    /// Adds `number` in decimal.
    pub(crate) fn number(&mut self, number: usize) -> &mut Self {
        let mut unit = 1_usize;
        while number / unit >= 10 {
            unit = unit.wrapping_mul(10);
        }
        while unit != 0 {
            self.byte(b'0'.wrapping_add((number / unit % 10) as u8));
            unit /= 10;
        }
        self
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }

    /// Writes the text to `file`, past every buffer; what cannot be written is lost.
    pub(crate) fn send(&self, file: c_int) {
        let bytes = self.bytes();
        // SAFETY: the slice is readable.
        let _ = unsafe { libc::write(file, bytes.as_ptr().cast(), bytes.len()) };
    }
}
