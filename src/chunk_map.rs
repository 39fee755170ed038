//! Which addresses lie in a chunk of ours: answered from the address alone.
//!
//! One bit a chunk in leaves that are made on first use: a flat table would be tens of
//! mebibytes, which cannot be mapped under a small `RLIMIT_MEMLOCK` after `mlockall`.

use core::ptr::{self, NonNull};

use crate::config::CHUNK_BYTES;
use crate::meta;
use crate::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// Bits of a user address: the kernel maps nothing above without being asked to.
const ADDRESS_BITS: u32 = 48;
/// Log2 of the chunks that a leaf covers: 64 GiB of addresses in 2 KiB.
const LEAF_LOG2: u32 = 14;
const LEAF_WORDS: usize = (1 << LEAF_LOG2) / 64;
const ROOT: usize = 1 << (ADDRESS_BITS - CHUNK_BYTES.ilog2() - LEAF_LOG2);

type Leaf = [AtomicU64; LEAF_WORDS];

static LEAVES: [AtomicPtr<Leaf>; ROOT] = [const { AtomicPtr::new(ptr::null_mut()) }; ROOT];

/// A chunk's bit: its word in a leaf, and the mask in that word.
struct Bit {
    leaf: &'static AtomicPtr<Leaf>,
    word: usize,
    mask: u64,
}

impl Bit {
    fn of(address: usize) -> Option<Self> {
        let chunk = address / CHUNK_BYTES;
        let leaf = LEAVES.get(chunk >> LEAF_LOG2)?;
        Some(Self { leaf, word: (chunk / 64) % LEAF_WORDS, mask: 1 << (chunk % 64) })
    }

    fn word(&self) -> Option<&'static AtomicU64> {
        // SAFETY: leaves are made by `meta`, which never takes memory back; zeroed bytes are
        // a leaf of zeroes.
        unsafe { self.leaf.load(Ordering::Acquire).as_ref() }?.get(self.word)
    }
}

/// Whether `address` lies in a chunk.
#[inline]
pub(crate) fn contains(address: usize) -> bool {
    let Some(bit) = Bit::of(address) else { return false };
    bit.word().is_some_and(|word| word.load(Ordering::Relaxed) & bit.mask != 0)
}

/// Notes the chunk at `base`. False where there is no memory for the note.
#[must_use]
pub(crate) fn insert(base: usize) -> bool {
    let Some(bit) = Bit::of(base) else { return false };
    if bit.leaf.load(Ordering::Acquire).is_null() {
        let Some(fresh) = meta::take(size_of::<Leaf>()) else { return false };
        // A leaf made by somebody else meanwhile stays; ours is the price of not locking.
        let fresh: NonNull<Leaf> = fresh.cast();
        let _ =
            bit.leaf.compare_exchange(ptr::null_mut(), fresh.as_ptr(), Ordering::AcqRel, Ordering::Relaxed);
    }
    match bit.word() {
        Some(word) => {
            word.fetch_or(bit.mask, Ordering::Release);
            true
        }
        None => false,
    }
}

/// Forgets the chunk at `base`, before it is unmapped.
pub(crate) fn remove(base: usize) {
    if let Some(bit) = Bit::of(base)
        && let Some(word) = bit.word()
    {
        word.fetch_and(!bit.mask, Ordering::Release);
    }
}
