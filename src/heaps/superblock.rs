//! A file heap's first words: what it is, and which sync is the last one. There are two, written in
//! turns, so that one of them is whole on the disk at any moment. What a superblock leads to is not written
//! over before the disk has another one, or has it no more.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::books::checksum;
use super::geometry::SUPERBLOCKS;
use crate::base::atomic::{AtomicU64, Ordering};
use crate::base::config::{CHUNK_BYTES, UNIT_BYTES};
use crate::block::size_class::{CLASSES, Class};

/// What a file heap begins with: reads `FREEHEAP` where bytes are shown in order.
const MAGIC: u64 = u64::from_le_bytes(*b"FREEHEAP");
/// What a file begins with that is being made into one.
pub(super) const UNFINISHED: u64 = u64::from_le_bytes(*b"FREEMAKE");
/// Format of the file. To be raised with every change of it.
const FORMAT: u64 = 2;
/// Words of a superblock.
const WORDS: usize = 11;

/// The content of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Superblock {
    /// Count of syncs.
    pub(super) generation: u64,
    /// Where the file's first byte must be mapped.
    pub(super) address: usize,
    /// Bytes of all chunks.
    pub(super) limit: usize,
    /// Place of the root in the file, or zero.
    pub(super) root: usize,
    /// Places in the table that were ever used.
    pub(super) top: usize,
    /// Length of the file.
    pub(super) file_bytes: u64,
    /// Checksum of the table.
    pub(super) table: u64,
}

/// What a file's beginning says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beginning {
    Heap(Superblock),
    /// Somebody began to make it one.
    Unfinished,
    /// It is something else.
    Foreign,
    /// It is a heap of another version.
    Version(u64),
    /// It is a heap, and no superblock is whole.
    Damaged,
}

/// What must be equal for a file to be read: the format, and everything that shapes slabs.
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
        // The words that go unused and the sum itself are compared as well.
        if it.words() == words { Beginning::Heap(it) } else { Beginning::Damaged }
    }

    /// Writes it into the place of its turn, the sum last.
    pub(super) fn store(&self, place: &[AtomicU64]) {
        for (to, word) in place.iter().zip(self.words()) {
            to.store(word, Ordering::Release);
        }
    }

    /// What stands in a place, if it is whole.
    pub(super) fn load(place: &[AtomicU64]) -> Option<Self> {
        let mut words = [0; WORDS];
        for (to, word) in words.iter_mut().zip(place) {
            *to = word.load(Ordering::Acquire);
        }
        match Self::from_words(words) {
            Beginning::Heap(it) => Some(it),
            _ => None,
        }
    }

    /// Words of one, of eight bytes each.
    pub(super) const WORDS: usize = WORDS;
    /// Bytes of one.
    pub(super) const BYTES: usize = WORDS * 8;

    /// Where that of a generation stands.
    pub(super) fn place_of(generation: u64) -> usize {
        SUPERBLOCKS.get(generation as usize & 1).copied().unwrap_or(0)
    }
}

/// What `file` begins with: the newer of its superblocks.
pub(super) fn read(file: &File) -> io::Result<Beginning> {
    let mut best = Beginning::Foreign;
    for place in SUPERBLOCKS {
        let found = read_at(file, place as u64)?;
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
        // What lies beyond the end reads as zero, which is no heap.
        let _ = file.read_at(&mut bytes, at)?;
        *word = u64::from_le_bytes(bytes);
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
