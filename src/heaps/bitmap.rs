//! A chunk's bitmaps: the class of the slab that begins at each unit, and for each block a bit that
//! says whether it is used.
//!
//! They are out of line, in the chunk's header, and are the truth of a heap whose user may die at
//! any moment: free lists and records are rebuilt from them. A file heap has three for each chunk:
//! the one in force and those of the last two syncs.

use core::cell::Cell;
use core::ptr;

use static_assertions::const_assert;

use crate::base::atomic::{AtomicU8, AtomicU64, Ordering};
use crate::base::config::{CHUNK_BYTES, RECORD_BYTES, UNIT_BYTES, UNITS};
use crate::block::size_class::Class;
use crate::memory::slab::Slab;

/// Units of a chunk's header: the slabs' records, [`Transient`], and three bitmaps.
pub(super) const HEADER_UNITS: usize = 2;
/// Words of bits for one unit, which may be full of the smallest blocks, of 16 bytes.
const WORDS: usize = UNIT_BYTES / 16 / 64;
const BITMAP_BYTES: usize = UNITS * WORDS * 8;

/// Which blocks of a chunk are used, at one time. Its layout is part of the file format.
///
/// Header units have no blocks: the classes lie where their bits would be.
///
/// | offset | content |
/// | ---: | --- |
/// | 0 | a byte for each of the 64 units: one more than the class, or zero |
/// | 64 | unused, zero |
/// | 1,024 | 64 words of bits for each unit from the third on |
#[repr(C)]
pub(super) struct Bitmap {
    /// For each unit: one more than the index of the class of the slab that begins there, or zero.
    classes: [AtomicU8; UNITS],
    /// Atomics like the rest, since a bitmap is copied by words.
    unused: [AtomicU8; HEADER_UNITS * WORDS * 8 - UNITS],
    /// For each unit after the header: the blocks of the slab that begins there, a set bit is a
    /// used block.
    bits: [[AtomicU64; WORDS]; UNITS - HEADER_UNITS],
}

const_assert!(size_of::<Bitmap>() == BITMAP_BYTES);
const_assert!(
    RECORD_BYTES * UNITS <= TRANSIENT && size_of::<Transient>() <= BITMAPS[0].saturating_sub(TRANSIENT)
);
const_assert!(BITMAPS[2].saturating_add(BITMAP_BYTES) <= HEADER_UNITS * UNIT_BYTES);

/// Offset of [`Transient`] in the header.
const TRANSIENT: usize = 8 << 10;
/// Offsets in the header of the bitmap in force and those of the last two syncs.
const BITMAPS: [usize; 3] = [32 << 10, 64 << 10, 96 << 10];

/// Facts about a chunk that hold while the heap is open. An opening sets them anew.
#[repr(C)]
pub(super) struct Transient {
    /// Whether the bitmap in force differs from the last sync's.
    pub(super) changed: Cell<bool>,
    /// Set of the free units that may be holes in the file.
    pub(super) holes: Cell<u64>,
}

/// The bitmaps of one chunk.
#[derive(Clone, Copy)]
pub(super) struct Bitmaps {
    chunk: usize,
}

impl Bitmaps {
    /// Those of the chunk at `base`.
    ///
    /// # Safety
    /// There is one, in a heap with bitmaps, mapped for as long as they are used.
    pub(super) const unsafe fn at(base: usize) -> Self {
        Self { chunk: base }
    }

    /// Those of the chunk that `slab` is in.
    ///
    /// # Safety
    /// As for [`Self::at`].
    pub(super) unsafe fn of(slab: &Slab) -> Self {
        Self { chunk: ptr::from_ref(slab).addr() & !(CHUNK_BYTES - 1) }
    }

    pub(super) fn transient(self) -> &'static Transient {
        // SAFETY: the header has it at this offset, and zeroes are a valid one.
        unsafe { &*ptr::with_exposed_provenance(self.chunk.wrapping_add(TRANSIENT)) }
    }

    fn bitmap(self, index: usize) -> &'static Bitmap {
        let offset = BITMAPS.get(index).copied().unwrap_or(BITMAPS[0]);
        // SAFETY: the header has one at this offset, and any bytes are a valid one.
        unsafe { &*ptr::with_exposed_provenance(self.chunk.wrapping_add(offset)) }
    }

    /// The bitmap in force.
    pub(super) fn in_force(self) -> &'static Bitmap {
        self.bitmap(0)
    }

    /// Copy 0 or 1, as a synced table names it.
    pub(super) fn synced(self, copy: usize) -> &'static Bitmap {
        self.bitmap(copy.wrapping_add(1))
    }
}

/// Index of a slab's first unit in its chunk.
pub(super) fn unit_of(slab: &Slab) -> usize {
    ptr::from_ref(slab).addr() % CHUNK_BYTES / RECORD_BYTES
}

impl Bitmap {
    /// The class of the slab that begins at `unit`.
    pub(super) fn class(&self, unit: usize) -> Option<Class> {
        Class::at(usize::from(self.classes.get(unit)?.load(Ordering::Relaxed)).checked_sub(1)?)
    }

    pub(super) fn set_class(&self, unit: usize, class: Option<Class>) {
        if let Some(byte) = self.classes.get(unit) {
            byte.store(class.map_or(0, |class| class.index().wrapping_add(1) as u8), Ordering::Release);
        }
    }

    /// The slabs, as their first unit and class.
    pub(super) fn slabs(&self) -> impl Iterator<Item = (usize, Class)> {
        (0..UNITS).filter_map(|unit| Some((unit, self.class(unit)?)))
    }

    fn words(&self, unit: usize) -> &[AtomicU64] {
        self.bits.get(unit.wrapping_sub(HEADER_UNITS)).map_or(&[], |words| words.as_slice())
    }

    fn word(&self, unit: usize, block: usize) -> Option<(&AtomicU64, u64)> {
        Some((self.words(unit).get(block / 64)?, 1 << (block % 64)))
    }

    /// Whether the block at index `block` of the slab at `unit` is used.
    pub(super) fn has(&self, unit: usize, block: usize) -> bool {
        self.word(unit, block).is_some_and(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0)
    }

    pub(super) fn set(&self, unit: usize, block: usize) {
        if let Some((word, bit)) = self.word(unit, block) {
            // Whoever sets bits holds the heap's lock: a load and a store are enough.
            word.store(word.load(Ordering::Relaxed) | bit, Ordering::Release);
        }
    }

    pub(super) fn clear(&self, unit: usize, block: usize) {
        if let Some((word, bit)) = self.word(unit, block) {
            word.store(word.load(Ordering::Relaxed) & !bit, Ordering::Release);
        }
    }

    /// How many blocks of the slab at `unit` are used.
    pub(super) fn used(&self, unit: usize) -> usize {
        self.words(unit).iter().map(|word| word.load(Ordering::Relaxed).count_ones() as usize).sum()
    }

    /// How many blocks of the slab at `unit` are used in `synced` and not here.
    pub(super) fn freed_since(&self, synced: &Self, unit: usize) -> usize {
        let pairs = self.words(unit).iter().zip(synced.words(unit));
        pairs.map(|(in_force, synced)| (load(synced) & !load(in_force)).count_ones() as usize).sum()
    }

    /// Whether no block of the slab at `unit` is used.
    pub(super) fn is_unused(&self, unit: usize) -> bool {
        self.words(unit).iter().all(|word| word.load(Ordering::Relaxed) == 0)
    }

    /// Calls `each` with the index of each block, below `blocks`, that is used neither here nor in
    /// `synced`.
    pub(super) fn each_free(
        &self,
        synced: Option<&Self>,
        unit: usize,
        blocks: usize,
        mut each: impl FnMut(usize),
    ) {
        for (index, word) in self.words(unit).iter().enumerate() {
            let first = index.wrapping_mul(64);
            if first >= blocks {
                return;
            }
            let before = synced.and_then(|synced| synced.words(unit).get(index)).map_or(0, load);
            let mut free = !(load(word) | before);
            while free != 0 {
                let block = first.wrapping_add(free.trailing_zeros() as usize);
                if block >= blocks {
                    return;
                }
                each(block);
                free &= free.wrapping_sub(1);
            }
        }
    }

    /// Whether a slab begins in the header or inside another, or a bit is set that is no block's.
    pub(super) fn is_malformed(&self) -> bool {
        let mut unit = 0_usize;
        let mut inside = 0_usize;
        while unit < UNITS {
            let class = self.class(unit);
            if class.is_some() && (unit < HEADER_UNITS || inside != 0) {
                return true;
            }
            let blocks = class.map_or(0, |class| class.shape().capacity as usize);
            let beyond = self.words(unit).iter().enumerate().any(|(index, word)| {
                let here = blocks.saturating_sub(index.wrapping_mul(64));
                here < 64 && load(word) >> here != 0
            });
            if beyond {
                return true;
            }
            inside = class
                .map_or(inside.saturating_sub(1), |class| (class.shape().units as usize).wrapping_sub(1));
            unit = unit.wrapping_add(1);
        }
        inside != 0
    }

    fn all_words(&self) -> &[AtomicU64] {
        // SAFETY: a bitmap is that many aligned words, atomics throughout. The caller is alone in
        // the heap, so no byte is accessed in two sizes at once.
        unsafe { core::slice::from_raw_parts(ptr::from_ref(self).cast(), BITMAP_BYTES / 8) }
    }

    pub(super) fn copy_from(&self, other: &Self) {
        for (to, from) in self.all_words().iter().zip(other.all_words()) {
            to.store(load(from), Ordering::Relaxed);
        }
    }

    /// Makes it that of a chunk without slabs.
    pub(super) fn reset(&self) {
        for word in self.all_words() {
            word.store(0, Ordering::Relaxed);
        }
    }

    pub(super) fn checksum(&self) -> u32 {
        let sum = checksum(self.all_words().iter().map(load));
        (sum ^ sum >> 32) as u32
    }
}

fn load(word: &AtomicU64) -> u64 {
    word.load(Ordering::Relaxed)
}

/// A checksum against damage, not against malice.
///
/// Each step is a bijection of the sum and of the word, so that one changed word always changes it.
pub(super) fn checksum(words: impl Iterator<Item = u64>) -> u64 {
    words.fold(0x243f_6a88_85a3_08d3, |sum, word| {
        let mixed = (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ mixed >> 29
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Miri checks that a bitmap with other references is copied through atomics.
    #[test]
    fn a_bitmap_is_copied_while_others_refer_to_it() {
        // SAFETY: zeroes are a bitmap.
        let bitmaps: [Box<Bitmap>; 2] = [(); 2].map(|()| unsafe { Box::new_zeroed().assume_init() });
        let [one, other]: [&Bitmap; 2] = [&bitmaps[0], &bitmaps[1]];
        one.set_class(HEADER_UNITS, Class::at(3));
        one.set(HEADER_UNITS, 70);
        other.copy_from(one);
        assert_eq!(other.checksum(), one.checksum());
        assert!(other.has(HEADER_UNITS, 70) && other.class(HEADER_UNITS) == Class::at(3));
        one.reset();
        assert!(one.is_unused(HEADER_UNITS) && one.checksum() != other.checksum());
    }
}
