//! The index of chunks: whether an address lies in a chunk, answered from the address alone.
//!
//! It has one byte a chunk, the number of its mapped units, in leaves that are made on first use.
//! A flat table would be tens of mebibytes, which cannot be mapped under a small `RLIMIT_MEMLOCK`
//! after mlockall(2).
//!
//! State: the root, leaves that never go away, and the bounds of a walk. All of it is atomic; there
//! is no lock. An entry is cleared, under the depot's lock, before its chunk is unmapped.

use core::ptr::{self, NonNull};

use crate::base::address::align_down;
use crate::base::atomic::{AtomicPtr, AtomicU8, AtomicUsize, Ordering};
use crate::base::config::{CHUNK_BYTES, UNIT_BYTES};
use crate::memory::records;

/// Bits of a user address. The kernel maps above only where a hint asks for it (mmap(2),
/// five-level page tables).
const ADDRESS_BITS: u32 = 48;
/// Log2 of the chunks that a leaf covers: a byte each, 64 GiB of addresses.
const LEAF_LOG2: u32 = 14;
/// Leaves that the root has room for.
const ROOT: usize = 1 << (ADDRESS_BITS - CHUNK_BYTES.ilog2() - LEAF_LOG2);

type Leaf = [AtomicU8; 1 << LEAF_LOG2];

/// The lowest and the highest base that a chunk ever had: the bounds of a walk.
static LOWEST: AtomicUsize = AtomicUsize::new(usize::MAX);
static HIGHEST: AtomicUsize = AtomicUsize::new(0);

static LEAVES: [AtomicPtr<Leaf>; ROOT] = [const { AtomicPtr::new(ptr::null_mut()) }; ROOT];

fn leaf_of(address: usize) -> Option<&'static AtomicPtr<Leaf>> {
    LEAVES.get(address >> CHUNK_BYTES.ilog2() >> LEAF_LOG2)
}

/// The entry of the chunk that `address` would lie in; none where there is no leaf.
fn entry_of(address: usize) -> Option<&'static AtomicU8> {
    // SAFETY: leaves come from `records`, which never takes memory back; zeroed bytes are a leaf.
    let leaf = unsafe { leaf_of(address)?.load(Ordering::Acquire).as_ref() }?;
    leaf.get((address >> CHUNK_BYTES.ilog2()) & ((1 << LEAF_LOG2) - 1))
}

/// Whether `address` lies in a mapped unit of a chunk. Acquires what was written to the header
/// before [`insert`].
pub(crate) fn contains(address: usize) -> bool {
    let unit = address % CHUNK_BYTES / UNIT_BYTES;
    entry_of(address).is_some_and(|entry| unit < usize::from(entry.load(Ordering::Acquire)))
}

/// Enters the chunk at `base`, of `units` mapped units. False where there is no memory for a leaf,
/// or the address has more than 48 bits.
#[must_use]
pub(crate) fn insert(base: usize, units: u8) -> bool {
    let Some(leaf) = leaf_of(base) else { return false };
    if leaf.load(Ordering::Acquire).is_null() {
        let Some(fresh) = records::take(size_of::<Leaf>()) else { return false };
        // A leaf that another thread made meanwhile stays; this one is lost, for want of a lock.
        let fresh: NonNull<Leaf> = fresh.cast();
        let _ = leaf.compare_exchange(ptr::null_mut(), fresh.as_ptr(), Ordering::AcqRel, Ordering::Relaxed);
    }
    match entry_of(base) {
        Some(entry) => {
            LOWEST.fetch_min(base, Ordering::Relaxed);
            HIGHEST.fetch_max(base, Ordering::Relaxed);
            entry.store(units, Ordering::Release);
            true
        }
        None => false,
    }
}

/// Clears the entry of the chunk at `base`, before it is unmapped.
pub(crate) fn remove(base: usize) {
    if let Some(entry) = entry_of(base) {
        entry.store(0, Ordering::Release);
    }
}

/// The bases of all chunks, from the lowest. Reads an entry for each chunk's length between the
/// lowest and the highest base ever, so frequent paths don't walk.
pub(crate) fn bases() -> impl Iterator<Item = usize> {
    let (mut next, last) = (LOWEST.load(Ordering::Relaxed), HIGHEST.load(Ordering::Relaxed));
    core::iter::from_fn(move || {
        while next <= last {
            let base = next;
            let entry = entry_of(base);
            // Without a leaf, there is no chunk up to the next leaf's first address.
            next = match entry {
                Some(_) => base.wrapping_add(CHUNK_BYTES),
                None => align_down(base, CHUNK_BYTES << LEAF_LOG2).wrapping_add(CHUNK_BYTES << LEAF_LOG2),
            };
            if entry.is_some_and(|entry| entry.load(Ordering::Acquire) != 0) {
                return Some(base);
            }
        }
        None
    })
}
