//! Zero-size blocks of the `secure` build: addresses at which nothing can be read or written.
//!
//! State: one inaccessible mapping for the process, and a bit for each address in it. Without
//! `secure` no block lies here.

use core::num::NonZeroUsize;
use core::ptr::{self, NonNull};

use super::ON;
use crate::base::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::os;

/// Bytes between two addresses: the alignment of blocks.
const STEP: usize = 16;
/// Words of the bit map: for sixteen thousand addresses. Further zero-size blocks have memory.
const WORDS: usize = 256;
const WORD_BITS: usize = u64::BITS as usize;
/// Bytes of the mapping.
const BYTES: usize = WORDS * WORD_BITS * STEP;

/// Where the mapping begins; zero before it is made.
static REGION: AtomicUsize = AtomicUsize::new(0);
/// A bit for each address: whether it is in use.
static USED: [AtomicU64; WORDS] = [const { AtomicU64::new(0) }; WORDS];
/// Where the next search begins: an address just freed is not handed out at once.
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// An address that no other block has. None without `secure`, where all are in use, and where the
/// kernel refuses the mapping.
pub(crate) fn allocate() -> Option<NonNull<u8>> {
    if !ON {
        return None;
    }
    let region = region()?;
    for _ in 0..WORDS {
        let at = NEXT.fetch_add(1, Ordering::Relaxed) % WORDS;
        let word = USED.get(at)?;
        let bit = word.load(Ordering::Relaxed).trailing_ones();
        let Some(mask) = 1_u64.checked_shl(bit) else { continue };
        if word.fetch_or(mask, Ordering::Relaxed) & mask == 0 {
            let index = at.wrapping_mul(WORD_BITS).wrapping_add(bit as usize);
            let address = region.get().wrapping_add(index.wrapping_mul(STEP));
            return NonNull::new(ptr::with_exposed_provenance_mut(address));
        }
    }
    None
}

/// Whether `address` is in the mapping.
fn contains(address: usize) -> bool {
    let region = REGION.load(Ordering::Relaxed);
    region != 0 && address.wrapping_sub(region) < BYTES
}

/// Word and bit of `address`, if it is one that can be handed out.
fn bit(address: usize) -> Option<(&'static AtomicU64, u64)> {
    let offset = address.wrapping_sub(REGION.load(Ordering::Relaxed));
    if !contains(address) || !offset.is_multiple_of(STEP) {
        return None;
    }
    let index = offset / STEP;
    Some((USED.get(index / WORD_BITS)?, 1_u64.wrapping_shl((index % WORD_BITS) as u32)))
}

/// Whether a zero-size block that is in use is at `start`.
pub(crate) fn is_used(start: NonNull<u8>) -> bool {
    ON && bit(start.addr().get()).is_some_and(|(word, mask)| word.load(Ordering::Relaxed) & mask != 0)
}

/// Frees the zero-size block at `start`. Whether it was in use; none where `start` is no address of
/// such blocks.
pub(crate) fn free(start: NonNull<u8>) -> Option<bool> {
    let address = start.addr().get();
    if !ON || !contains(address) {
        return None;
    }
    Some(bit(address).is_some_and(|(word, mask)| word.fetch_and(!mask, Ordering::Relaxed) & mask != 0))
}

/// Where the mapping begins; whoever comes first makes it.
fn region() -> Option<NonZeroUsize> {
    if let Some(region) = NonZeroUsize::new(REGION.load(Ordering::Relaxed)) {
        return Some(region);
    }
    let start = os::map(None, BYTES).ok()?;
    let address = start.as_ptr().expose_provenance();
    // SAFETY: just mapped, and nothing refers to it.
    let made = unsafe { os::forbid(start, BYTES) }.is_ok()
        && REGION.compare_exchange(0, address, Ordering::Relaxed, Ordering::Relaxed).is_ok();
    if !made {
        // SAFETY: as above. What the kernel keeps is inaccessible, or was never touched.
        let _ = unsafe { os::unmap(start, BYTES) };
    }
    NonZeroUsize::new(REGION.load(Ordering::Relaxed))
}
