//! Whether a block is on its slab's free list, without a walk of the whole list.
//!
//! Data may look like the mark of a free block. If each free of such data walked the list, whoever
//! chooses the data would choose how long a free takes. So blocks on the list have *notes* beside
//! their marks: how many blocks lie below, and the index of one further down to skip to. From the
//! first block any other one is some two dozen steps away (Myers, "An applicative random-access
//! stack", 1983). Nothing is kept elsewhere, and the fast paths know nothing of notes.
//!
//! The list is last in, first out: below a block nothing changes while it is there. A block that is
//! handed out loses its note, and one that comes back has none. So only blocks above the first
//! noted one need a note, and each free pays for one at most.

use core::ptr;

use static_assertions::const_assert;

use super::Slab;
use crate::base::config::UNIT_BYTES;
use crate::block::free_list;
use crate::block::tag;

/// The note of a block on the list.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Note {
    /// Blocks below this one.
    below: u32,
    /// Index of one of them, or of the block itself where there is none.
    skip: u32,
}

impl Note {
    /// Enough for the indices of a slab's blocks, of which those of 16 bytes have the most.
    const BITS: u32 = 12;
    const MASK: u32 = (1 << Self::BITS) - 1;
    /// Tells a note from the unit's number, which a tag without a note has there.
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
    /// Whether the block that begins at `address` is on the list. For the owner.
    #[cold]
    #[inline(never)]
    pub(crate) fn is_listed_by_notes(&self, address: usize) -> bool {
        self.note_list();
        let start = ptr::with_exposed_provenance_mut(address);
        // A used block holds its caller's data here: then the block found by it is another one.
        self.note_at(start).is_some_and(|note| self.listed_above(note.below) == Some(start))
    }

    /// Gives every block of the list that has no note one.
    fn note_list(&self) {
        let mut above = self.free.head();
        let mut block = above;
        let mut below = self.listed();
        let mut steps = 0_u32;
        // Down to the first noted block. On the way each gets the index of the block above it.
        let noted = loop {
            if block.is_null() || below == 0 {
                break None;
            }
            below = below.wrapping_sub(1);
            if self.note_at(block).is_some_and(|note| note.below == below) {
                break Some(block);
            }
            self.set_note(block, self.number_of(above));
            above = block;
            steps = steps.wrapping_add(1);
            // SAFETY: the block is on the list.
            block = unsafe { free_list::next_of(block) };
        };
        // Up again, by those indices.
        let (mut block, mut lower) = (above, noted);
        for _ in 0..steps {
            let upper = self.indexed(self.note_word(block));
            self.set_note(block, self.note_over(block, lower).pack());
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
        // Two skips of equal length become one, which also covers the step to the block below.
        let twice =
            self.skipped(note).and_then(|once| Some((once, self.skipped(once)?))).filter(|(once, twice)| {
                note.below.wrapping_sub(once.below) == once.below.wrapping_sub(twice.below)
            });
        let skip = twice.map_or(self.number_of(lower), |(once, _)| once.skip);
        Note { below: note.below.wrapping_add(1), skip }
    }

    /// The note of the block that `note` skips to.
    fn skipped(&self, note: Note) -> Option<Note> {
        self.note_at(self.indexed(note.skip)?)
    }

    /// The block on the list with `below` blocks below it. All have notes.
    fn listed_above(&self, below: u32) -> Option<*mut u8> {
        let mut block = self.free.head();
        // Bounded, where the program wrote to free blocks; else the steps are a small multiple of
        // the logarithm.
        for _ in 0..self.listed() {
            let note = self.note_at(block)?;
            if note.below <= below {
                return (note.below == below).then_some(block);
            }
            let skip = self.indexed(note.skip)?;
            block = match self.note_at(skip) {
                Some(skipped) if skipped.below >= below => skip,
                // SAFETY: the block is on the list.
                _ => unsafe { free_list::next_of(block) },
            };
        }
        None
    }

    /// The note of the block at `start`, if it has one.
    fn note_at(&self, start: *mut u8) -> Option<Note> {
        if start.is_null() {
            return None;
        }
        Note::unpack(self.note_word(start)).filter(|note| note.skip < self.carved.get())
    }

    fn note_word(&self, start: *mut u8) -> u32 {
        // SAFETY: the callers pass beginnings of the slab's blocks.
        unsafe { tag::note_of(start) }
    }

    fn set_note(&self, start: *mut u8, note: u32) {
        // SAFETY: the block is on the list, so its second word is the owner's.
        unsafe { tag::set_note(start, note) }
    }

    fn number_of(&self, start: *const u8) -> u32 {
        self.index_at(start.addr()) as u32
    }

    /// The block with that index, if it is carved.
    fn indexed(&self, index: u32) -> Option<*mut u8> {
        (index < self.carved.get()).then(|| self.pointer(self.offset_at(index as usize)))
    }
}
