//! The second word of a free block in the default build: a mark that tells it from a used one, and
//! a note.
//!
//! The mark, in the lower half, is the number of the unit in which the block begins. A constant
//! could be held by data, by chance or on purpose; and this number is in a register when a block is
//! freed. The note, in the upper half, is what `memory::slab::listed` writes there, else the rest
//! of the unit's number. In the `secure` build the canary tells free blocks from used ones: there
//! is no tag.

#[cfg(target_arch = "x86_64")]
use core::arch::asm;

// The `secure` build on x86-64 reads no tag.
#[cfg(any(not(feature = "secure"), not(target_arch = "x86_64")))]
use crate::base::bits;
use crate::base::config::UNIT_BYTES;
use crate::block::link::{Link, ON};

/// The second word of a free block. In the default build: mark and note.
#[cfg(not(feature = "secure"))]
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tag(u64);

/// The second word of a free block. In the `secure` build: nothing.
#[cfg(feature = "secure")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tag;

impl Tag {
    #[cfg(not(feature = "secure"))]
    #[inline(always)]
    const fn from_word(word: u64) -> Self {
        Self(word)
    }

    #[cfg(feature = "secure")]
    #[inline(always)]
    const fn from_word(_word: u64) -> Self {
        Self
    }

    /// No block's mark: no unit has the number zero.
    pub(crate) const USED: Self = Self::from_word(0);

    /// The tag of a free block at `start`, without a note.
    #[inline(always)]
    pub(crate) fn free(start: *const u8) -> Self {
        Self::from_word((start.addr() / UNIT_BYTES) as u64)
    }
}

/// Where in a free block its tag is: it follows the link.
const TAG_OFFSET: usize = size_of::<Link>();

/// The note of the block at `start`: whatever is in the upper half of its second word.
///
/// # Safety
/// A block begins at `start`.
#[cfg(not(feature = "secure"))]
pub(crate) unsafe fn note_of(start: *const u8) -> u32 {
    // SAFETY: forwarded to the caller.
    (unsafe { bits::read::<TAG_OFFSET>(start) } >> u32::BITS) as u32
}

/// Writes a note beside the mark of the block at `start`.
///
/// # Safety
/// A free block begins at `start`, on a list that is the caller's.
#[cfg(not(feature = "secure"))]
pub(crate) unsafe fn set_note(start: *mut u8, note: u32) {
    let mark = (start.addr() / UNIT_BYTES) as u32;
    let tag = Tag::from_word(u64::from(note) << u32::BITS | u64::from(mark));
    // SAFETY: every block has two words.
    unsafe { start.wrapping_byte_add(TAG_OFFSET).cast::<Tag>().write(tag) }
}

/// Whether the second word of the block at `start` holds the mark of a free block; never in the
/// `secure` build. The word may be the caller's and uninitialised, and nothing that the compiler
/// sees may depend on such a word: so the processor compares it.
///
/// # Safety
/// A readable block of at least two words begins at `start`.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) unsafe fn looks_free(start: *const u8) -> bool {
    if ON {
        return false;
    }
    // SAFETY: every block has two words, and these instructions only read.
    unsafe {
        asm!(
            "cmp dword ptr [{start} + {offset}], {mark:e}",
            "je {marked}",
            start = in(reg) start,
            offset = const TAG_OFFSET,
            mark = in(reg) start.addr() / UNIT_BYTES,
            marked = label { return true },
            options(readonly, nostack),
        );
    }
    false
}

/// Whether the second word of the block at `start` holds the mark of a free block; never in the
/// `secure` build.
///
/// # Safety
/// A readable block of at least two words begins at `start`.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub(crate) unsafe fn looks_free(start: *const u8) -> bool {
    // SAFETY: forwarded to the caller.
    !ON && unsafe { bits::read::<TAG_OFFSET>(start) } as u32 == (start.addr() / UNIT_BYTES) as u32
}
