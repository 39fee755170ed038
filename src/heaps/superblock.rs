//! A file heap's superblocks: what the file is, and which sync is the last one.
//!
//! There are two, written in turns, so that one of them is whole on the disk at any moment. The
//! table and bitmaps that a superblock leads to are not written over before the disk has a newer
//! one, or certainly lacks this one.
//!
//! Words are of eight bytes, in the processor's byte order.
//!
//! | word | content |
//! | ---: | --- |
//! | 0 | [`MAGIC`], or [`UNFINISHED`] while the file is being made |
//! | 1 | [`version`] |
//! | 2 to 8 | the fields of [`Superblock`], in their order |
//! | 9 | zero |
//! | 10 | checksum of the words before it |

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::bitmap::checksum;
use super::geometry::SUPERBLOCKS;
use crate::base::atomic::{AtomicU64, Ordering};
use crate::base::config::{CHUNK_BYTES, UNIT_BYTES};
use crate::block::size_class::{CLASSES, Class};

/// First word of a superblock: the bytes `FREEHEAP`.
const MAGIC: u64 = u64::from_ne_bytes(*b"FREEHEAP");
/// First word of a file that is being made a heap: the bytes `FREEMAKE`.
pub(super) const UNFINISHED: u64 = u64::from_ne_bytes(*b"FREEMAKE");
/// Number of the file's format, raised with every change of it.
const FORMAT: u64 = 2;
/// Words of a superblock.
const WORDS: usize = 11;

/// The content of a superblock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Superblock {
    /// Number of the sync that wrote it.
    pub(super) generation: u64,
    /// Address at which the file's first byte must be mapped.
    pub(super) address: usize,
    /// Bytes of all areas.
    pub(super) limit: usize,
    /// Offset of the root in the file, in bytes, or zero.
    pub(super) root: usize,
    /// Areas that were ever used: the words of the table that count.
    pub(super) top: usize,
    /// Length of the file in bytes.
    pub(super) file_bytes: u64,
    /// Checksum of the first `top` words of the table.
    pub(super) table: u64,
}

/// What a file is, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beginning {
    Heap(Superblock),
    /// It was being made a heap.
    Unfinished,
    /// It is something else.
    Foreign,
    /// It is a heap of another version.
    Version(u64),
    /// It is a heap without a whole superblock.
    Damaged,
}

/// What must be equal for a file to be read: the number of the format in the low 16 bits, and a
/// checksum over the sizes of areas, units and all classes' blocks and slabs above.
pub(super) fn version() -> u64 {
    let shapes = (0..CLASSES).filter_map(Class::at).map(|class| {
        let shape = class.shape();
        u64::from(shape.block) << 32 | u64::from(shape.units)
    });
    let sum = checksum([CHUNK_BYTES as u64, UNIT_BYTES as u64].into_iter().chain(shapes));
    sum << 16 | FORMAT
}

impl Superblock {
    fn words(&self) -> [u64; WORDS] {
        let mut words = [
            MAGIC,
            version(),
            self.generation,
            self.address as u64,
            self.limit as u64,
            self.root as u64,
            self.top as u64,
            self.file_bytes,
            self.table,
            0,
            0,
        ];
        let sum = checksum(words.iter().copied());
        if let Some(last) = words.last_mut() {
            *last = sum;
        }
        words
    }

    fn from_words(words: [u64; WORDS]) -> Beginning {
        let [magic, version, generation, address, limit, root, top, file_bytes, table, _, _] = words;
        if magic != MAGIC {
            return if magic == UNFINISHED { Beginning::Unfinished } else { Beginning::Foreign };
        }
        if version != self::version() {
            return Beginning::Version(version);
        }
        let (address, limit, root, top) = (address as usize, limit as usize, root as usize, top as usize);
        let it = Self { generation, address, limit, root, top, file_bytes, table };
        // The unused word and the checksum are compared as well.
        if it.words() == words { Beginning::Heap(it) } else { Beginning::Damaged }
    }

    /// Stores it into `words`, the checksum last.
    pub(super) fn store(&self, words: &[AtomicU64]) {
        for (to, word) in words.iter().zip(self.words()) {
            to.store(word, Ordering::Release);
        }
    }

    /// The superblock in `words`, if it is whole.
    pub(super) fn load(words: &[AtomicU64]) -> Option<Self> {
        let mut loaded = [0; WORDS];
        for (to, word) in loaded.iter_mut().zip(words) {
            *to = word.load(Ordering::Acquire);
        }
        match Self::from_words(loaded) {
            Beginning::Heap(it) => Some(it),
            _ => None,
        }
    }

    /// Words of a superblock, of eight bytes each.
    pub(super) const WORDS: usize = WORDS;
    /// Bytes of a superblock.
    pub(super) const BYTES: usize = WORDS * 8;

    /// Offset in the file of the superblock that the sync of `generation` writes.
    pub(super) fn offset_of(generation: u64) -> usize {
        SUPERBLOCKS.get(generation as usize & 1).copied().unwrap_or(0)
    }
}

/// What `file` is: its newest whole superblock, if it has one.
pub(super) fn read(file: &File) -> io::Result<Beginning> {
    let mut best = Beginning::Foreign;
    for offset in SUPERBLOCKS {
        let found = read_at(file, offset as u64)?;
        best = match (best, found) {
            (Beginning::Heap(one), Beginning::Heap(other)) if one.generation > other.generation => best,
            (_, Beginning::Heap(_)) => found,
            (Beginning::Heap(_), _) => best,
            (Beginning::Foreign, _) => found,
            (_, _) => best,
        };
    }
    Ok(best)
}

fn read_at(file: &File, at: u64) -> io::Result<Beginning> {
    let mut words = [0_u64; WORDS];
    let mut at = at;
    for word in &mut words {
        let mut bytes = [0; 8];
        // Bytes beyond the file's end count as zero, which is no heap.
        let _ = file.read_at(&mut bytes, at)?;
        *word = u64::from_ne_bytes(bytes);
        at = at.wrapping_add(8);
    }
    Ok(Superblock::from_words(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_changed_bit_is_noticed() {
        let it = Superblock {
            generation: 7,
            address: 1 << 45,
            limit: 1 << 30,
            root: 12_345,
            top: 3,
            file_bytes: 1 << 24,
            table: 99,
        };
        assert_eq!(Superblock::from_words(it.words()), Beginning::Heap(it));
        for bit in 0..WORDS * 64 {
            let mut words = it.words();
            words[bit / 64] ^= 1 << (bit % 64);
            assert_ne!(Superblock::from_words(words), Beginning::Heap(it), "bit {bit}");
            assert!(!matches!(Superblock::from_words(words), Beginning::Heap(_)), "bit {bit}");
        }
    }
}
