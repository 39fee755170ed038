//! What is known of a chunk's blocks out of line: which units are slabs of what class, and a bit a
//! block that says whether it is used. The truth of a heap whose user may die at any moment: free
//! lists and records are made again from it.

use core::cell::Cell;
use core::ptr;

use static_assertions::const_assert;

use crate::base::atomic::{AtomicU8, AtomicU64, Ordering};
use crate::base::config::{CHUNK_BYTES, RECORD_BYTES, UNIT_BYTES, UNITS};
use crate::block::size_class::Class;
use crate::memory::slab::Slab;

/// Units of a chunk's header that hold the records, what is beside them here, and three pages.
pub(super) const HEADER_UNITS: usize = 2;
/// Words of bits for one unit: of the smallest blocks it has 4,096.
const WORDS: usize = UNIT_BYTES / 16 / 64;
const PAGE_BYTES: usize = UNITS * WORDS * 8;

/// A page: the state of a chunk's blocks at one time. A header unit has no blocks, and its bits'
/// place is the classes'.
#[repr(C)]
pub(super) struct Page {
    /// For each unit: one more than the class of the slab that begins there, or zero.
    classes: [AtomicU8; UNITS],
    /// Stored to with the rest, when a page is copied.
    unused: [AtomicU8; HEADER_UNITS * WORDS * 8 - UNITS],
    /// For each unit after the header, where a slab begins: its blocks.
    bits: [[AtomicU64; WORDS]; UNITS - HEADER_UNITS],
}

const_assert!(size_of::<Page>() == PAGE_BYTES);
const_assert!(RECORD_BYTES * UNITS <= BESIDE && size_of::<Beside>() <= PAGES[0].saturating_sub(BESIDE));
const_assert!(PAGES[2].saturating_add(PAGE_BYTES) <= HEADER_UNITS * UNIT_BYTES);

/// What else is known of a chunk, until the heap is closed.
const BESIDE: usize = 8 << 10;
/// The page in force, and those of syncs.
const PAGES: [usize; 3] = [32 << 10, 64 << 10, 96 << 10];

/// See [`BESIDE`].
#[repr(C)]
pub(super) struct Beside {
    /// Whether the page in force differs from the last sync's.
    pub(super) changed: Cell<bool>,
    /// Free units that may be holes in the file.
    pub(super) holes: Cell<u64>,
}

/// The books of one chunk.
#[derive(Clone, Copy)]
pub(super) struct Books {
    chunk: usize,
}

impl Books {
    /// Of the chunk at `base`.
    ///
    /// # Safety
    /// There is one, of a booked heap, mapped for as long as the books are used.
    pub(super) const unsafe fn at(base: usize) -> Self {
        Self { chunk: base }
    }

    /// Of the chunk of a slab.
    ///
    /// # Safety
    /// As for [`Self::at`].
    pub(super) unsafe fn of(slab: &Slab) -> Self {
        Self { chunk: ptr::from_ref(slab).addr() & !(CHUNK_BYTES - 1) }
    }

    pub(super) fn beside(self) -> &'static Beside {
        // SAFETY: the header has it at this place, and zeroes are a valid one.
        unsafe { &*ptr::with_exposed_provenance(self.chunk.wrapping_add(BESIDE)) }
    }

    fn page(self, which: usize) -> &'static Page {
        let place = PAGES.get(which).copied().unwrap_or(PAGES[0]);
        // SAFETY: the header has it at this place, and any bytes are a valid one.
        unsafe { &*ptr::with_exposed_provenance(self.chunk.wrapping_add(place)) }
    }

    /// The page in force.
    pub(super) fn now(self) -> &'static Page {
        self.page(0)
    }

    /// The page that a synced table names.
    pub(super) fn synced(self, page: usize) -> &'static Page {
        self.page(page.wrapping_add(1))
    }
}

/// The unit that a slab's record is of.
pub(super) fn unit_of(slab: &Slab) -> usize {
    ptr::from_ref(slab).addr() % CHUNK_BYTES / RECORD_BYTES
}

impl Page {
    /// The class of the slab that begins at `unit`.
    pub(super) fn class(&self, unit: usize) -> Option<Class> {
        Class::at(usize::from(self.classes.get(unit)?.load(Ordering::Relaxed)).checked_sub(1)?)
    }

    pub(super) fn set_class(&self, unit: usize, class: Option<Class>) {
        if let Some(byte) = self.classes.get(unit) {
            byte.store(class.map_or(0, |class| class.index().wrapping_add(1) as u8), Ordering::Release);
        }
    }

    /// The slabs: their first units and classes.
    pub(super) fn slabs(&self) -> impl Iterator<Item = (usize, Class)> {
        (0..UNITS).filter_map(|unit| Some((unit, self.class(unit)?)))
    }

    fn words(&self, unit: usize) -> &[AtomicU64] {
        self.bits.get(unit.wrapping_sub(HEADER_UNITS)).map_or(&[], |words| words.as_slice())
    }

    fn word(&self, unit: usize, block: usize) -> Option<(&AtomicU64, u64)> {
        Some((self.words(unit).get(block / 64)?, 1 << (block % 64)))
    }

    /// Whether the `block`th of the slab at `unit` is used.
    pub(super) fn has(&self, unit: usize, block: usize) -> bool {
        self.word(unit, block).is_some_and(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0)
    }

    pub(super) fn set(&self, unit: usize, block: usize) {
        if let Some((word, bit)) = self.word(unit, block) {
            // Under the heap's lock: a load and a store will do.
            word.store(word.load(Ordering::Relaxed) | bit, Ordering::Release);
        }
    }

    pub(super) fn clear(&self, unit: usize, block: usize) {
        if let Some((word, bit)) = self.word(unit, block) {
            word.store(word.load(Ordering::Relaxed) & !bit, Ordering::Release);
        }
    }

    /// Used blocks of the slab at `unit`.
    pub(super) fn used(&self, unit: usize) -> usize {
        self.words(unit).iter().map(|word| word.load(Ordering::Relaxed).count_ones() as usize).sum()
    }

    /// Blocks of the slab at `unit` that are used in `then` and not here.
    pub(super) fn freed_since(&self, then: &Self, unit: usize) -> usize {
        let pairs = self.words(unit).iter().zip(then.words(unit));
        pairs.map(|(now, then)| (load(then) & !load(now)).count_ones() as usize).sum()
    }

    /// Whether no block of the slab at `unit` is used.
    pub(super) fn is_unused(&self, unit: usize) -> bool {
        self.words(unit).iter().all(|word| word.load(Ordering::Relaxed) == 0)
    }

    /// Calls `each` with the blocks, below `blocks`, that are used neither here nor in `then`.
    pub(super) fn each_free(
        &self,
        then: Option<&Self>,
        unit: usize,
        blocks: usize,
        mut each: impl FnMut(usize),
    ) {
        for (index, word) in self.words(unit).iter().enumerate() {
            let first = index.wrapping_mul(64);
            if first >= blocks {
                return;
            }
            let before = then.and_then(|then| then.words(unit).get(index)).map_or(0, load);
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

    /// Bits beyond a slab's blocks, or where no slab begins, that are set nevertheless: none,
    /// unless the page is not what it seems.
    pub(super) fn strays(&self) -> bool {
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
        // SAFETY: a page is that many aligned words, atomics throughout; nobody else is in the heap, so
        // that no byte is reached in two sizes at once.
        unsafe { core::slice::from_raw_parts(ptr::from_ref(self).cast(), PAGE_BYTES / 8) }
    }

    pub(super) fn copy_from(&self, other: &Self) {
        for (to, from) in self.all_words().iter().zip(other.all_words()) {
            to.store(load(from), Ordering::Relaxed);
        }
    }

    /// Makes it the page of a chunk without slabs.
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

/// A sum that tells damage, not malice: each step is a bijection of the sum and of the word, so
/// that one changed word always changes it.
pub(super) fn checksum(words: impl Iterator<Item = u64>) -> u64 {
    words.fold(0x243f_6a88_85a3_08d3, |sum, word| {
        let mixed = (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ mixed >> 29
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Miri checks: a page is copied through references that others have as well.
    #[test]
    fn a_page_is_copied_while_others_refer_to_it() {
        // SAFETY: zeroes are a page.
        let pages: [Box<Page>; 2] = [(); 2].map(|()| unsafe { Box::new_zeroed().assume_init() });
        let [one, other]: [&Page; 2] = [&pages[0], &pages[1]];
        one.set_class(HEADER_UNITS, Class::at(3));
        one.set(HEADER_UNITS, 70);
        other.copy_from(one);
        assert_eq!(other.checksum(), one.checksum());
        assert!(other.has(HEADER_UNITS, 70) && other.class(HEADER_UNITS) == Class::at(3));
        one.reset();
        assert!(one.is_unused(HEADER_UNITS) && one.checksum() != other.checksum());
    }
}
