//! Text built on the stack, for code that must not allocate.
#![forbid(unsafe_code)]

use core::fmt;

/// At most `N` bytes of text. What does not fit is cut, and [`is_cut`](Self::is_cut) says so.
pub(crate) struct Text<const N: usize> {
    bytes: [u8; N],
    /// Bytes added, including those that did not fit.
    len: usize,
}

impl<const N: usize> Text<N> {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; N], len: 0 }
    }

    /// Adds one byte.
    pub(crate) fn byte(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(self.len) {
            *slot = byte;
        }
        self.len = self.len.saturating_add(1);
    }

    /// Adds `text`.
    pub(crate) fn bytes(&mut self, text: &[u8]) {
        for byte in text {
            self.byte(*byte);
        }
    }

    /// Adds `value` in hexadecimal, with `0x` before it.
    pub(crate) fn hex(&mut self, value: usize) {
        self.bytes(b"0x");
        let mut started = false;
        for shift in (0..usize::BITS).step_by(4).rev() {
            let digit = (value >> shift) as u8 & 0xf;
            started |= digit != 0 || shift == 0;
            if started {
                self.byte(digit.wrapping_add(if digit < 10 { b'0' } else { b'a' - 10 }));
            }
        }
    }

    /// The text so far, as much of it as fits.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&self.bytes)
    }

    /// Whether no further byte fits.
    pub(crate) const fn is_full(&self) -> bool {
        self.len >= N
    }

    /// Whether something did not fit.
    pub(crate) const fn is_cut(&self) -> bool {
        self.len > N
    }

    /// Removes all text.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }
}

impl<const N: usize> fmt::Write for Text<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_hexadecimal() {
        for value in [0, 9, 10, 0x1f, usize::MAX] {
            let mut text = Text::<32>::new();
            text.hex(value);
            assert_eq!(text.as_bytes(), format!("{value:#x}").as_bytes());
        }
    }

    #[test]
    fn what_does_not_fit_is_cut_and_said() {
        let mut text = Text::<4>::new();
        text.bytes(b"four");
        assert!(text.is_full() && !text.is_cut());
        text.byte(b'!');
        assert!(text.is_cut());
        assert_eq!(text.as_bytes(), b"four");
        text.clear();
        assert_eq!(text.as_bytes(), b"");
    }
}
