//! Which addresses lie in a chunk of ours: answered from the address alone.
//!
//! One byte a chunk, the number of its units, in leaves that are made on first use: a flat table would be tens of
//! mebibytes, which cannot be mapped under a small `RLIMIT_MEMLOCK` after `mlockall`.

use core::ptr::{self, NonNull};

use crate::base::address::align_down;
use crate::base::atomic::{AtomicPtr, AtomicU8, AtomicUsize, Ordering};
use crate::base::config::{CHUNK_BYTES, UNIT_BYTES};
use crate::memory::records;

/// Bits of a user address: the kernel maps nothing above without being asked to.
const ADDRESS_BITS: u32 = 48;
/// Log2 of the chunks that a leaf covers: 64 GiB of addresses in 16 KiB.
const LEAF_LOG2: u32 = 14;
const ROOT: usize = 1 << (ADDRESS_BITS - CHUNK_BYTES.ilog2() - LEAF_LOG2);

type Leaf = [AtomicU8; 1 << LEAF_LOG2];

/// The lowest and the highest address at which there ever was a chunk: a walk looks no further.
static LOWEST: AtomicUsize = AtomicUsize::new(usize::MAX);
static HIGHEST: AtomicUsize = AtomicUsize::new(0);

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

/// Whether `address` lies in a chunk. Whoever finds it sees the header that was written before it was noted.
pub(crate) fn contains(address: usize) -> bool {
    let unit = address % CHUNK_BYTES / UNIT_BYTES;
    mark_of(address).is_some_and(|mark| unit < usize::from(mark.load(Ordering::Acquire)))
}

/// Notes the chunk at `base`, of `units`. False where there is no memory for the note.
#[must_use]
pub(crate) fn insert(base: usize, units: u8) -> bool {
    let Some(leaf) = leaf_of(base) else { return false };
    if leaf.load(Ordering::Acquire).is_null() {
        let Some(fresh) = records::take(size_of::<Leaf>()) else { return false };
        // A leaf made by somebody else meanwhile stays; ours is the price of not locking.
        let fresh: NonNull<Leaf> = fresh.cast();
        let _ = leaf.compare_exchange(ptr::null_mut(), fresh.as_ptr(), Ordering::AcqRel, Ordering::Relaxed);
    }
    match mark_of(base) {
        Some(mark) => {
            LOWEST.fetch_min(base, Ordering::Relaxed);
            HIGHEST.fetch_max(base, Ordering::Relaxed);
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

/// The bases of the chunks noted, from the lowest. A walk for statistics: a byte a chunk's length between the
/// lowest and the highest there ever was.
pub(crate) fn bases() -> impl Iterator<Item = usize> {
    let (mut next, last) = (LOWEST.load(Ordering::Relaxed), HIGHEST.load(Ordering::Relaxed));
    core::iter::from_fn(move || {
        while next <= last {
            let base = next;
            let mark = mark_of(base);
            // Where there is no leaf, nothing is noted up to the next one.
            next = match mark {
                Some(_) => base.wrapping_add(CHUNK_BYTES),
                None => align_down(base, CHUNK_BYTES << LEAF_LOG2).wrapping_add(CHUNK_BYTES << LEAF_LOG2),
            };
            if mark.is_some_and(|mark| mark.load(Ordering::Acquire) != 0) {
                return Some(base);
            }
        }
        None
    })
}
