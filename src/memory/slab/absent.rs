//! Absent blocks: free blocks in which nothing tells that they are free.
//!
//! They are on no list. What is known of them lies apart: a bit a block, in the chunk's header. So
//! a page goes back as soon as no block in it is used, and a block longer than a page keeps none.
//! And a slab that [feeds a bin](Slab::feeds_bins) takes blocks back and gives them out without
//! touching them: all its free blocks are absent.
//!
//! A slab that is not current and has absent blocks is *purged*
//! ([`SlabState::Purged`](super::SlabState)). Each free into it takes a slow path, which asks the
//! bits. A slab that does not feed a bin gets its absent blocks back on the free list before it
//! becomes current again.
//!
//! In a forked child a slab of the parent is *inherited* until it becomes current. A free into it
//! makes its block absent, though its page is there: a link would be a write to the block, for
//! which the kernel copies the page.

use core::ptr::{self, NonNull};

use static_assertions::const_assert;

use super::Slab;
use crate::base::address::align_down;
use crate::base::atomic::{AtomicU8, AtomicU64, Ordering, in_order};
use crate::base::config::{CHUNK_BYTES, LINE_BYTES, RECORD_BYTES, UNIT_BYTES, UNITS};
use crate::block::free_list::{self, LINK_BYTES};
use crate::block::hardening;

/// Whether there are absent blocks. In the `secure` build a free block's link and canary are
/// checked, so the pages with those stay.
pub(super) const ON: bool = !hardening::ON;

const WORD_BITS: usize = u64::BITS as usize;

/// Words with a bit for each block of a slab: those of the shortest blocks are the most.
const WORDS: usize = UNIT_BYTES / LEAST_BYTES / WORD_BITS;

/// Words in a cache line.
const LINE_WORDS: usize = LINE_BYTES / size_of::<u64>();

/// Bytes of the shortest blocks.
const LEAST_BYTES: usize = 16;

/// Where in a chunk's header unit the bits lie, behind the records. They are untouched, and so take
/// no memory, until a slab of theirs is purged.
const OFFSET: usize = UNIT_BYTES / 2;

const_assert!(LINK_BYTES <= LEAST_BYTES);
const_assert!(RECORD_BYTES * UNITS <= OFFSET && OFFSET + UNITS * WORDS * 8 <= UNIT_BYTES);

/// The bit of a slab's `absence` that says whether any block is absent. Above it lies the process's
/// [`GENERATION`] at the time when the slab last became current.
const SOME: u8 = 1;

/// How many forks this process is away from the first one, twice; it wraps.
static GENERATION: AtomicU8 = AtomicU8::new(0);

/// Notes that the process is a forked child: all slabs are inherited.
pub(crate) fn note_copy() {
    GENERATION.store(generation().wrapping_add(SOME << 1), Ordering::Relaxed);
}

fn generation() -> u8 {
    GENERATION.load(Ordering::Relaxed)
}

/// A set of a slab's blocks, by their index.
pub(super) struct BlockSet([u64; WORDS]);

impl BlockSet {
    pub(super) const fn new() -> Self {
        Self([0; WORDS])
    }

    pub(super) fn insert(&mut self, index: usize) {
        if let Some(word) = self.0.get_mut(index / WORD_BITS) {
            *word |= 1 << (index % WORD_BITS);
        }
    }

    pub(super) fn remove(&mut self, index: usize) {
        if let Some(word) = self.0.get_mut(index / WORD_BITS) {
            *word &= !(1 << (index % WORD_BITS));
        }
    }

    pub(super) fn contains(&self, index: usize) -> bool {
        self.0.get(index / WORD_BITS).is_some_and(|word| (word >> (index % WORD_BITS)) & 1 != 0)
    }

    /// The runs of neighbours in the set below `end`, each as its first index and the one behind
    /// its last.
    pub(super) fn runs(&self, end: usize) -> impl Iterator<Item = (usize, usize)> {
        let mut next = 0_usize;
        core::iter::from_fn(move || {
            while next < end && !self.contains(next) {
                next = next.wrapping_add(1);
            }
            let first = next;
            while next < end && self.contains(next) {
                next = next.wrapping_add(1);
            }
            (first < next).then_some((first, next))
        })
    }
}

impl Slab {
    /// The bits of the slab's absent blocks. All zero while there is none. For the owner of a
    /// current slab, or who holds the lock of the heap's lists; a slab of a first-class heap has no
    /// bits.
    #[inline(always)]
    fn absent_words(&self) -> &[AtomicU64; WORDS] {
        let record = ptr::from_ref(self).addr();
        let chunk = align_down(record, CHUNK_BYTES);
        let unit = record.wrapping_sub(chunk) / RECORD_BYTES;
        let offset = OFFSET.wrapping_add(unit.wrapping_mul(size_of::<[AtomicU64; WORDS]>()));
        // SAFETY: the header unit has these words for each unit, and is mapped while the record is.
        unsafe { &*ptr::with_exposed_provenance(chunk.wrapping_add(offset)) }
    }

    /// The word with the bit of the block at `index`. Chunks begin at multiples of their length, so
    /// the first words of their slabs would compete for the same few sets of a cache: each chunk
    /// begins with another line of its slabs' words.
    #[inline(always)]
    fn absent_word(&self, index: usize) -> &AtomicU64 {
        let chunk = ptr::from_ref(self).addr() / CHUNK_BYTES;
        let place = (index / WORD_BITS).wrapping_add(chunk.wrapping_mul(LINE_WORDS)) % WORDS;
        // SAFETY: the remainder is below the array's length.
        unsafe { self.absent_words().get_unchecked(place) }
    }

    /// Whether any block is absent. For the owner.
    pub(crate) fn has_absent(&self) -> bool {
        ON && self.absence.load(Ordering::Relaxed) & SOME != 0
    }

    /// Whether the slab was the parent's of this forked child, and not current here since.
    #[inline]
    pub(crate) fn is_inherited(&self) -> bool {
        ON && self.absence.load(Ordering::Relaxed) & !SOME != generation()
    }

    /// Notes that the slab is this process's own. For the owner.
    pub(crate) fn set_own(&self) {
        let some = self.absence.load(Ordering::Relaxed) & SOME;
        self.absence.store(some | generation(), Ordering::Relaxed);
    }

    /// How many blocks are absent. For the owner.
    pub(super) fn absent(&self) -> u32 {
        if !self.has_absent() {
            return 0;
        }
        self.absent_words().iter().map(|word| word.load(Ordering::Relaxed).count_ones()).sum()
    }

    /// Whether the block that begins at `address` is absent. For the owner, under the lock of the
    /// heap's lists.
    pub(crate) fn is_absent(&self, address: usize) -> bool {
        self.has_absent() && self.is_absent_at(self.index_at(address))
    }

    #[inline]
    pub(crate) fn is_absent_at(&self, index: usize) -> bool {
        (self.absent_word(index).load(Ordering::Relaxed) >> (index % WORD_BITS)) & 1 != 0
    }

    /// Notes that the block at `index`, which is on no list, is absent.
    pub(super) fn set_absent(&self, index: usize) {
        self.absence.store(self.absence.load(Ordering::Relaxed) | SOME, Ordering::Relaxed);
        let word = self.absent_word(index);
        word.store(word.load(Ordering::Relaxed) | 1 << (index % WORD_BITS), Ordering::Relaxed);
    }

    /// Notes that no block is absent.
    pub(crate) fn forget_absent(&self) {
        if self.has_absent() {
            self.absent_words().iter().for_each(|word| word.store(0, Ordering::Relaxed));
            self.absence.store(self.absence.load(Ordering::Relaxed) & !SOME, Ordering::Relaxed);
            self.forget_resident_absent();
        }
    }

    /// Puts the absent blocks back on the free list, the lowest in front, of a slab that is this
    /// process's own from now on. For the owner.
    pub(crate) fn list_absent(&self) {
        if self.has_absent() {
            self.list_absent_slow();
        }
        if self.is_inherited() {
            self.set_own();
        }
    }

    /// Takes the blocks off the free list: they are absent from now on. For the owner, under the
    /// lock of the heap's lists.
    pub(crate) fn make_absent(&self) {
        let mut next = self.free.head();
        self.free.clear();
        // A forked child, if it sees anything of what follows, sees no list: it loses blocks.
        in_order();
        while !next.is_null() {
            let start = next;
            // SAFETY: the block was on the list.
            next = unsafe { free_list::next_of(start) };
            self.set_absent(self.index_at(self.unmarked(start).addr().get()));
        }
    }

    /// Makes the blocks of a chain absent that other threads have freed. False where one of them is
    /// already. For the owner, under the lock of the heap's lists.
    pub(super) fn adopt_absent(&self, blocks: impl Iterator<Item = *mut u8>) -> bool {
        let mut is_new = true;
        for start in blocks {
            let index = self.index_at(self.unmarked(start).addr().get());
            is_new &= !self.is_absent_at(index);
            self.set_absent(index);
        }
        is_new
    }

    /// The block at `start`, which was on a list, without the mark of a free one: as a used one it
    /// would look free.
    fn unmarked(&self, start: *mut u8) -> NonNull<u8> {
        self.block_at(self.offset_of(start)).hand_out()
    }

    /// Takes back the block at `index` and leaves its page alone. Whether the used blocks have
    /// fallen to the watermark. For the owner, of an inherited slab or one that feeds a bin.
    #[inline]
    pub(crate) fn push_absent(&self, index: usize) -> bool {
        self.set_absent(index);
        // A child of this process, if it counts the block as free, has its bit.
        in_order();
        self.count_free()
    }

    /// Takes the first `most` absent blocks, or all. For the owner of a current slab that feeds a
    /// bin: all its free blocks are absent.
    pub(crate) fn take_absent(&self, most: usize, mut each: impl FnMut(NonNull<u8>)) {
        let mut taken = 0_usize;
        for number in 0..self.capacity().div_ceil(WORD_BITS) {
            let word = self.absent_word(number.wrapping_mul(WORD_BITS));
            let mut left = word.load(Ordering::Relaxed);
            if left == 0 {
                continue;
            }
            while left != 0 && taken < most {
                let index = number.wrapping_mul(WORD_BITS).wrapping_add(left.trailing_zeros() as usize);
                left &= left.wrapping_sub(1);
                taken = taken.wrapping_add(1);
                each(self.block_at(self.offset_at(index)).into_raw());
            }
            word.store(left, Ordering::Relaxed);
            if taken == most {
                break;
            }
        }
        let count = self.count.load(Ordering::Relaxed).wrapping_sub((taken as u32).cast_signed());
        self.count.store(count, Ordering::Relaxed);
        if self.available() == 0 {
            self.absence.store(self.absence.load(Ordering::Relaxed) & !SOME, Ordering::Relaxed);
        }
    }

    #[cold]
    fn list_absent_slow(&self) {
        let words = self.capacity().div_ceil(WORD_BITS);
        let absent = (0..words).rev().flat_map(|number| {
            let first = number.wrapping_mul(WORD_BITS);
            let mut left = self.absent_word(first).load(Ordering::Relaxed);
            core::iter::from_fn(move || {
                let highest = left.checked_ilog2()?;
                left ^= 1 << highest;
                Some(first.wrapping_add(highest as usize))
            })
        });
        self.free.push_all(absent.map(|index| self.block_at(self.offset_at(index))));
        self.forget_absent();
    }
}
