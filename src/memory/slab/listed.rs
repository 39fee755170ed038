//! Whether a block is on its slab's free list, without a walk through all of it.
//!
//! Data may look like the mark of a free block, and if each free of such data walked the list, who
//! chooses the data would choose how long a free takes. So the blocks on the list are noted: beside
//! its mark each says how many lie below it, and names one of those further down to skip to, so that
//! from the first one any other is some two dozen steps away (Myers, "An applicative random-access
//! stack", 1983). Nothing is kept elsewhere, and fast paths know nothing of it.
//!
//! The list is last in, first out: below a block nothing changes while it is there. A block that is handed
//! out loses its note, and one that comes back has none. So only blocks above the first noted one
//! need a note, and each free pays for one at most.

use core::ptr;

use static_assertions::const_assert;

use super::Slab;
use crate::base::config::UNIT_BYTES;
use crate::block::free_list;
use crate::block::hardening::{self, Tag};

/// What a block on the list notes. Blocks are named by their number in the slab.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Note {
    /// Blocks below this one.
    below: u32,
    /// One of them, or the block itself where there is none.
    skip: u32,
}

impl Note {
    /// Enough for the numbers of a slab's blocks: those of 16 bytes are the most.
    const BITS: u32 = 12;
    const MASK: u32 = (1 << Self::BITS) - 1;
    /// Tells a note from what a tag without one has in its place.
    const NOTED: u32 = 1 << 31;

    const fn pack(self) -> u32 {
        Self::NOTED | self.below << Self::BITS | self.skip
    }

    /// None where `word` is no note.
    const fn unpack(word: u32) -> Option<Self> {
        let note = Self { below: (word >> Self::BITS) & Self::MASK, skip: word & Self::MASK };
        if note.pack() == word { Some(note) } else { None }
    }
}

const_assert!(UNIT_BYTES / 16 == 1 << Note::BITS && 2 * Note::BITS < 31);

impl Slab {
    /// Whether the block at `address`, which begins there, is on the list. For the owner.
    #[cold]
    #[inline(never)]
    pub(crate) fn has_listed(&self, address: usize) -> bool {
        self.note_list();
        let start = ptr::with_exposed_provenance_mut(address);
        // What a used block holds here is its caller's: then what is found below is another one.
        self.note_at(start).is_some_and(|note| self.listed_above(note.below) == Some(start))
    }

    /// Notes every block of the list that is not.
    fn note_list(&self) {
        let mut above = self.free.head();
        let mut block = above;
        let mut below = self.available();
        let mut steps = 0_u32;
        // Down to the first noted one. On the way each is told which one lies above it.
        let noted = loop {
            if block.is_null() || below == 0 {
                break None;
            }
            below = below.wrapping_sub(1);
            if self.note_at(block).is_some_and(|note| note.below == below) {
                break Some(block);
            }
            self.set_tag(block, self.number_of(above));
            above = block;
            steps = steps.wrapping_add(1);
            // SAFETY: the block is on the list.
            block = unsafe { free_list::next_of(block) };
        };
        // And up again.
        let (mut block, mut lower) = (above, noted);
        for _ in 0..steps {
            let upper = self.numbered(self.tag(block).note());
            self.set_tag(block, self.note_over(block, lower).pack());
            lower = Some(block);
            let Some(upper) = upper else { return };
            block = upper;
        }
    }

    /// The note of `block`, which lies on `lower`.
    fn note_over(&self, block: *mut u8, lower: Option<*mut u8>) -> Note {
        let Some((lower, note)) = lower.and_then(|lower| Some((lower, self.note_at(lower)?))) else {
            return Note { below: 0, skip: self.number_of(block) };
        };
        // Two skips of the same length become one, and the step to the block below it.
        let twice =
            self.skipped(note).and_then(|once| Some((once, self.skipped(once)?))).filter(|(once, twice)| {
                note.below.wrapping_sub(once.below) == once.below.wrapping_sub(twice.below)
            });
        let skip = twice.map_or(self.number_of(lower), |(once, _)| once.skip);
        Note { below: note.below.wrapping_add(1), skip }
    }

    /// The note of the block that `note` skips to.
    fn skipped(&self, note: Note) -> Option<Note> {
        self.note_at(self.numbered(note.skip)?)
    }

    /// The block on the list with so many below it. All are noted.
    fn listed_above(&self, below: u32) -> Option<*mut u8> {
        let mut block = self.free.head();
        // As often as not fewer than the logarithm; and never for ever, where somebody wrote to free blocks.
        for _ in 0..self.available() {
            let note = self.note_at(block)?;
            if note.below <= below {
                return (note.below == below).then_some(block);
            }
            let skip = self.numbered(note.skip)?;
            block = match self.note_at(skip) {
                Some(skipped) if skipped.below >= below => skip,
                // SAFETY: the block is on the list.
                _ => unsafe { free_list::next_of(block) },
            };
        }
        None
    }

    /// The note of the block at `start`.
    fn note_at(&self, start: *mut u8) -> Option<Note> {
        if start.is_null() {
            return None;
        }
        Note::unpack(self.tag(start).note()).filter(|note| note.skip < self.carved.get())
    }

    fn tag(&self, start: *mut u8) -> Tag {
        // SAFETY: the callers pass beginnings of the slab's blocks.
        unsafe { hardening::tag_of(start) }
    }

    fn set_tag(&self, start: *mut u8, note: u32) {
        // SAFETY: the block is on the list, so its second word is the owner's.
        unsafe { hardening::set_tag(start, Tag::with_note(start, note)) }
    }

    fn number_of(&self, start: *const u8) -> u32 {
        self.place_of(start).checked_div(self.block_bytes.get()).unwrap_or(0)
    }

    /// The block with that number, if one was carved.
    fn numbered(&self, number: u32) -> Option<*mut u8> {
        (number < self.carved.get()).then(|| self.pointer(number.wrapping_mul(self.block_bytes.get())))
    }
}
