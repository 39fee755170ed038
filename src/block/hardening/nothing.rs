//! Blocks of no bytes: addresses at which nothing can be read or written.

use core::num::NonZeroUsize;
use core::ptr::{self, NonNull};

use crate::base::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::os;

/// As blocks are aligned.
const STEP: usize = 16;
/// Sixteen thousand at a time; who needs more gets blocks that have bytes.
const WORDS: usize = 256;
const WORD_BITS: usize = u64::BITS as usize;
/// Bytes of the region.
const BYTES: usize = WORDS * WORD_BITS * STEP;

/// Where the region begins; zero before it is made.
static REGION: AtomicUsize = AtomicUsize::new(0);
/// A bit an address: whether it is in use.
static USED: [AtomicU64; WORDS] = [const { AtomicU64::new(0) }; WORDS];
/// Where the next search begins: an address just freed is not handed out at once.
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// An address of its own, if there is one.
pub(crate) fn allocate() -> Option<NonNull<u8>> {
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

/// Whether `address` is in the region.
pub(crate) fn contains(address: usize) -> bool {
    let region = REGION.load(Ordering::Relaxed);
    region != 0 && address.wrapping_sub(region) < BYTES
}

/// Word and bit of an address in the region, if one begins there.
fn bit(address: usize) -> Option<(&'static AtomicU64, u64)> {
    let place = address.wrapping_sub(REGION.load(Ordering::Relaxed));
    if !contains(address) || !place.is_multiple_of(STEP) {
        return None;
    }
    let index = place / STEP;
    Some((USED.get(index / WORD_BITS)?, 1_u64.wrapping_shl((index % WORD_BITS) as u32)))
}

/// Whether `address` is in use.
pub(crate) fn is_used(address: usize) -> bool {
    bit(address).is_some_and(|(word, mask)| word.load(Ordering::Relaxed) & mask != 0)
}

/// Takes `address` back. Whether it was in use.
pub(crate) fn free(address: usize) -> bool {
    bit(address).is_some_and(|(word, mask)| word.fetch_and(!mask, Ordering::Relaxed) & mask != 0)
}

/// The region's beginning; made by whoever comes first.
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
