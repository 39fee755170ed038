//! Which addresses lie in a chunk of ours: answered from the address alone.
//!
//! One byte a chunk, the number of its units, in leaves that are made on first use: a flat table would be tens of
//! mebibytes, which cannot be mapped under a small `RLIMIT_MEMLOCK` after `mlockall`.

use core::ptr::{self, NonNull};

use crate::config::{CHUNK_BYTES, UNIT_BYTES};
use crate::meta;
use crate::sync::atomic::{AtomicPtr, AtomicU8, Ordering};

/// Bits of a user address: the kernel maps nothing above without being asked to.
const ADDRESS_BITS: u32 = 48;
/// Log2 of the chunks that a leaf covers: 64 GiB of addresses in 16 KiB.
const LEAF_LOG2: u32 = 14;
const ROOT: usize = 1 << (ADDRESS_BITS - CHUNK_BYTES.ilog2() - LEAF_LOG2);

type Leaf = [AtomicU8; 1 << LEAF_LOG2];

static LEAVES: [AtomicPtr<Leaf>; ROOT] = [const { AtomicPtr::new(ptr::null_mut()) }; ROOT];

fn leaf_of(address: usize) -> Option<&'static AtomicPtr<Leaf>> {
    LEAVES.get(address >> CHUNK_BYTES.ilog2() >> LEAF_LOG2)
}

/// The byte of the chunk that `address` would lie in.
fn mark_of(address: usize) -> Option<&'static AtomicU8> {
    // SAFETY: leaves are made by `meta`, which never takes memory back; zeroed bytes are a
    // leaf of zeroes.
    let leaf = unsafe { leaf_of(address)?.load(Ordering::Acquire).as_ref() }?;
    leaf.get((address >> CHUNK_BYTES.ilog2()) & ((1 << LEAF_LOG2) - 1))
}

/// Whether `address` lies in a chunk.
pub(crate) fn contains(address: usize) -> bool {
    let unit = address % CHUNK_BYTES / UNIT_BYTES;
    mark_of(address).is_some_and(|mark| unit < usize::from(mark.load(Ordering::Relaxed)))
}

/// Notes the chunk at `base`, of `units`. False where there is no memory for the note.
#[must_use]
pub(crate) fn insert(base: usize, units: u8) -> bool {
    let Some(leaf) = leaf_of(base) else { return false };
    if leaf.load(Ordering::Acquire).is_null() {
        let Some(fresh) = meta::take(size_of::<Leaf>()) else { return false };
        // A leaf made by somebody else meanwhile stays; ours is the price of not locking.
        let fresh: NonNull<Leaf> = fresh.cast();
        let _ = leaf.compare_exchange(ptr::null_mut(), fresh.as_ptr(), Ordering::AcqRel, Ordering::Relaxed);
    }
    match mark_of(base) {
        Some(mark) => {
            mark.store(units, Ordering::Release);
            true
        }
        None => false,
    }
}

/// Forgets the chunk at `base`, before it is unmapped.
pub(crate) fn remove(base: usize) {
    if let Some(mark) = mark_of(base) {
        mark.store(0, Ordering::Release);
    }
}

/// Calls `each` with the base of every chunk noted. Slow: for statistics.
pub(crate) fn for_each(mut each: impl FnMut(usize)) {
    for (high, leaf) in LEAVES.iter().enumerate() {
        // SAFETY: as in `mark_of`.
        let Some(leaf) = (unsafe { leaf.load(Ordering::Acquire).as_ref() }) else { continue };
        for (low, _) in leaf.iter().enumerate().filter(|(_, mark)| mark.load(Ordering::Relaxed) != 0) {
            each(((high << LEAF_LOG2) | low).wrapping_mul(CHUNK_BYTES));
        }
    }
}
