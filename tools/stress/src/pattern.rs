//! What a block holds: bytes that follow from its id, and looking whether they still do.
//!
//! A short block is filled as a whole. Of a long one only *lines* are written, at its head, at
//! its tail and at places in between that depend on the id, so that hundreds of mebibytes cost
//! a few dozen pages.

use std::ops::Range;

/// Blocks up to this length are filled as a whole.
const WHOLE_BYTES: usize = 2 << 10;
/// Bytes of a line: a cache line.
const LINE_BYTES: usize = 64;
/// Lines of a long block between head and tail, at most.
const LINES: usize = 64;
/// Bytes from one line to the next, at least.
const LEAST_STEP: usize = 1 << 10;
/// Zeroed blocks up to this length are looked at byte by byte.
const ZERO_WHOLE_BYTES: usize = 4 << 20;
/// Places looked at in a longer one.
const ZERO_PLACES: usize = 2048;

/// How many bytes of each side a report shows.
pub(crate) const SHOWN: usize = 16;

/// Where a block differs from its pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mismatch {
    /// Of the first wrong byte.
    pub(crate) offset: usize,
    /// The bytes that belong there, from the first wrong one on.
    pub(crate) expected: [u8; SHOWN],
    pub(crate) found: [u8; SHOWN],
    /// How many of them are meaningful.
    pub(crate) shown: usize,
}

/// The bytes of one id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pattern {
    id: u64,
    key: u64,
}

impl Pattern {
    pub(crate) fn new(id: u64) -> Self {
        // The finaliser of splitmix64: neighbouring ids have nothing in common.
        let mixed = (id ^ (id >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self { id, key: mixed ^ (mixed >> 31) }
    }

    /// The eight bytes at `offset`, a multiple of eight.
    #[inline]
    fn word(self, offset: usize) -> u64 {
        self.key.wrapping_add((offset as u64 / 8 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn byte(self, offset: usize) -> u8 {
        self.word(offset & !7).to_le_bytes()[offset % 8]
    }

    /// The parts of a block of `length` bytes that are written; each begins at a multiple of
    /// eight.
    fn parts(self, length: usize) -> impl Iterator<Item = Range<usize>> {
        let whole = length <= WHOLE_BYTES;
        let head = if whole { 0..length } else { 0..LINE_BYTES };
        let tail = (length.saturating_sub(LINE_BYTES) & !7)..length;
        let step = (length / LINES).next_multiple_of(LINE_BYTES).max(LEAST_STEP);
        let shift = (self.id as usize).wrapping_mul(LINE_BYTES) % step;
        let lines = (1..=LINES)
            .map(move |line| line * step - LINE_BYTES + shift)
            .map(|start| start..start + LINE_BYTES)
            .take_while(move |line| line.end <= length);
        let rest = (!whole).then(|| lines.chain([tail]));
        [head].into_iter().chain(rest.into_iter().flatten())
    }

    /// Writes the pattern into a block.
    ///
    /// # Safety
    /// `length` bytes from `start` are writable, and nobody else's.
    pub(crate) unsafe fn fill(self, start: *mut u8, length: usize) {
        for part in self.parts(length) {
            let mut offset = part.start;
            while offset + 8 <= part.end {
                // SAFETY: the word lies inside the block.
                unsafe { start.add(offset).cast::<u64>().write_unaligned(self.word(offset).to_le()) };
                offset += 8;
            }
            for offset in offset..part.end {
                // SAFETY: as above, for a byte.
                unsafe { start.add(offset).write(self.byte(offset)) };
            }
        }
    }

    /// Checks the first `readable` bytes of a block that was filled when it had `length`.
    ///
    /// # Safety
    /// `readable` bytes from `start` are readable; those below `length` were written.
    pub(crate) unsafe fn check(
        self,
        start: *const u8,
        length: usize,
        readable: usize,
    ) -> Result<(), Mismatch> {
        for part in self.parts(length) {
            let end = part.end.min(readable);
            let mut offset = part.start;
            let mut wrong = 0;
            while offset + 8 <= end {
                // SAFETY: the word lies inside what is readable.
                let word = u64::from_le(unsafe { start.add(offset).cast::<u64>().read_unaligned() });
                wrong |= word ^ self.word(offset);
                offset += 8;
            }
            for offset in offset..end {
                // SAFETY: as above, for a byte.
                wrong |= u64::from(unsafe { start.add(offset).read() } ^ self.byte(offset));
            }
            if wrong != 0 {
                // SAFETY: forwarded to the caller.
                return Err(unsafe { self.describe(start, part.start, end) });
            }
        }
        Ok(())
    }

    /// The first difference from `from` on.
    ///
    /// # Safety
    /// As for [`check`](Self::check).
    #[cold]
    unsafe fn describe(self, start: *const u8, from: usize, end: usize) -> Mismatch {
        // SAFETY: forwarded to the caller.
        let byte_at = |offset: usize| unsafe { start.add(offset).read_volatile() };
        let offset = (from..end).find(|offset| byte_at(*offset) != self.byte(*offset)).unwrap_or(from);
        let mut mismatch =
            Mismatch { offset, expected: [0; SHOWN], found: [0; SHOWN], shown: (end - offset).min(SHOWN) };
        let sides = mismatch.expected.iter_mut().zip(&mut mismatch.found);
        for (offset, (expected, found)) in (offset..end).zip(sides) {
            *expected = self.byte(offset);
            *found = byte_at(offset);
        }
        mismatch
    }
}

/// How closely a zeroed block is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Care {
    /// Every byte, whatever the length.
    Thorough,
    /// Every byte of a short block, places all over a long one.
    Usual,
}

/// Offset and value of a byte that is not zero.
///
/// # Safety
/// `length` bytes from `start` are readable and were written or are known zero.
pub(crate) unsafe fn find_non_zero(start: *const u8, length: usize, care: Care) -> Option<(usize, u8)> {
    if length <= ZERO_WHOLE_BYTES || care == Care::Thorough {
        // SAFETY: forwarded to the caller.
        return unsafe { non_zero_in(start, 0..length) };
    }
    let step = length / ZERO_PLACES;
    (0..ZERO_PLACES).map(|place| place * step).chain([length - LINE_BYTES]).find_map(|at| {
        // SAFETY: `step` exceeds a line, so each place ends inside the block.
        unsafe { non_zero_in(start, at..at + LINE_BYTES) }
    })
}

/// # Safety
/// The range, as offsets from `start`, is readable.
unsafe fn non_zero_in(start: *const u8, range: Range<usize>) -> Option<(usize, u8)> {
    let offset = range.start;
    // SAFETY: forwarded to the caller.
    let bytes = unsafe { std::slice::from_raw_parts(start.add(offset), range.len()) };
    let (chunks, rest) = bytes.as_chunks::<64>();
    let clean = chunks.iter().all(|chunk| chunk.iter().fold(0, |all, byte| all | byte) == 0);
    if clean && rest.iter().all(|byte| *byte == 0) {
        return None;
    }
    let at = bytes.iter().position(|byte| *byte != 0)?;
    Some((offset + at, *bytes.get(at)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_lie_inside_in_order_and_cover_head_and_tail() {
        for id in [0, 1, 77, u64::MAX] {
            for length in (1..5000).chain([65_536, 1_000_003, 400 << 20]) {
                let parts: Vec<_> = Pattern::new(id).parts(length).collect();
                assert!(parts.iter().all(|part| part.start % 8 == 0 && part.end <= length), "{length}");
                assert_eq!(parts.first().map(|part| part.start), Some(0));
                assert_eq!(parts.last().map(|part| part.end), Some(length));
                assert!(parts.len() <= LINES + 2);
            }
        }
    }

    #[test]
    fn one_wrong_byte_is_found_where_it_is() {
        let pattern = Pattern::new(3);
        for length in [1_usize, 7, 8, 100, 2048] {
            let mut bytes = vec![0; length];
            // SAFETY: the vector has that many bytes.
            unsafe { pattern.fill(bytes.as_mut_ptr(), length) };
            for wrong in 0..length {
                bytes[wrong] ^= 1;
                // SAFETY: as above.
                let found = unsafe { pattern.check(bytes.as_ptr(), length, length) };
                assert_eq!(found.expect_err("a difference").offset, wrong);
                // SAFETY: as above; the byte is beyond what may be read.
                assert_eq!(unsafe { pattern.check(bytes.as_ptr(), length, wrong) }, Ok(()));
                bytes[wrong] ^= 1;
            }
        }
    }

    #[test]
    fn other_ids_have_other_bytes() {
        let mut bytes = vec![0; 64];
        // SAFETY: the vector has that many bytes.
        unsafe { Pattern::new(1).fill(bytes.as_mut_ptr(), 64) };
        // SAFETY: as above.
        assert!(unsafe { Pattern::new(2).check(bytes.as_ptr(), 64, 64) }.is_err());
    }
}
