//! Large allocations: each is a mapping of its own, without a header.
//!
//! Its length follows from the size asked for; the registry knows it too, and says whether an
//! address is a large allocation at all. A freed mapping may wait in the cache for reuse.

use core::ptr::NonNull;

use crate::address::align_up;
use crate::fatal;
use crate::sync::Lock;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sys;

mod cache;
mod registry;

use cache::Cache;
use registry::Registry;

/// A range that is one mapping, or was cut from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: a mapping is an address and a length; whoever holds it owns the range.
unsafe impl Send for Mapping {}

static REGISTRY: Lock<Registry> = Lock::new(Registry::new());
static CACHE: Lock<Cache> = Lock::new(Cache::new());

/// Bytes copied because the kernel would not move them.
static COPIED_BYTES: AtomicU64 = AtomicU64::new(0);
/// Bytes of address space that the kernel would neither take back nor the cache could keep.
static STRANDED_BYTES: AtomicU64 = AtomicU64::new(0);

/// Bytes that large `realloc`s copied, all told, because the kernel refused to move pages.
pub(crate) fn copied_bytes() -> u64 {
    COPIED_BYTES.load(Ordering::Relaxed)
}

/// Whether new memory must read as zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contents {
    Any,
    Zero,
}

/// The locks that a fork must hold.
pub(crate) fn hold() {
    REGISTRY.hold();
    CACHE.hold();
}

/// Ends [`hold`].
///
/// # Safety
/// As for [`Lock::release`].
pub(crate) unsafe fn release() {
    // SAFETY: forwarded to the caller.
    unsafe { CACHE.release() };
    // SAFETY: forwarded to the caller.
    unsafe { REGISTRY.release() };
}

/// A large allocation of `size` bytes, not more than `isize::MAX`.
pub(crate) fn allocate(size: usize, align: usize, contents: Contents) -> Option<NonNull<u8>> {
    let bytes = align_up(size.max(1), sys::page_bytes());
    let mapping = match recut(bytes, align, contents) {
        Some(mapping) => mapping,
        None => map(bytes, align).or_else(|| {
            release_retained();
            map(bytes, align)
        })?,
    };
    // The statement ends the lock: a mapping is dropped without it.
    let known = REGISTRY.lock().insert(mapping);
    if known {
        return Some(mapping.start);
    }
    retain_or_unmap(mapping);
    None
}

/// Frees the large allocation at `start`.
pub(crate) fn free(start: NonNull<u8>) {
    // Out of the registry before anything else: a second free must not meet a new mapping.
    let taken = REGISTRY.lock().remove(start);
    match taken {
        Some(mapping) => retain_or_unmap(mapping),
        None => fatal::misuse("free of an address that is no allocation", start.addr().get()),
    }
}

/// Whether a large allocation begins at `start`, and its length in bytes.
pub(crate) fn length(start: NonNull<u8>) -> Option<usize> {
    REGISTRY.lock().get(start)
}

/// Resizes the large allocation at `start` to `size` bytes, keeping `align`. Where that fails
/// the old allocation is untouched.
pub(crate) fn reallocate(start: NonNull<u8>, size: usize, align: usize) -> Option<NonNull<u8>> {
    let bytes = align_up(size, sys::page_bytes());
    let taken = REGISTRY.lock().take(start);
    let Some(mapping) = taken else {
        fatal::misuse("realloc of an address that is no allocation", start.addr().get())
    };
    if mapping.bytes == bytes {
        return register_again(mapping);
    }
    if bytes < mapping.bytes {
        // SAFETY: the caller gives up what is beyond `size`. Where the kernel refuses, the
        // allocation just stays longer: the registry knows by how much.
        let cut = unsafe { sys::remap_in_place(mapping.start, mapping.bytes, bytes) };
        return register_again(if cut.is_ok() { Mapping { bytes, ..mapping } } else { mapping });
    }
    match grow(mapping, bytes, align) {
        Some(grown) => register_again(grown),
        None => {
            let _ = register_again(mapping);
            let fresh = allocate(size, align, Contents::Any)?;
            COPIED_BYTES.fetch_add(mapping.bytes as u64, Ordering::Relaxed);
            // SAFETY: both ranges are owned, distinct, and at least as long as the old one.
            unsafe { fresh.copy_from_nonoverlapping(mapping.start, mapping.bytes) };
            free(mapping.start);
            Some(fresh)
        }
    }
}

/// Puts back a mapping whose place in the registry was kept free.
fn register_again(mapping: Mapping) -> Option<NonNull<u8>> {
    REGISTRY.lock().insert_again(mapping);
    Some(mapping.start)
}

/// Grows a mapping by moving page tables, in place or elsewhere.
fn grow(mapping: Mapping, bytes: usize, align: usize) -> Option<Mapping> {
    let Mapping { start, bytes: old } = mapping;
    if align <= sys::page_bytes() {
        // SAFETY: the mapping is the caller's, out of the registry, and forgotten on success.
        let start = unsafe { sys::remap(start, old, bytes) }.ok()?;
        return Some(Mapping { start, bytes });
    }
    // SAFETY: as above; nothing is cut off.
    if unsafe { sys::remap_in_place(start, old, bytes) }.is_ok() {
        return Some(Mapping { start, bytes });
    }
    let target = cut_aligned(bytes, align, sys::reserve)?;
    // SAFETY: the target was just reserved for this; on success the old range is forgotten.
    match unsafe { sys::remap_to(start, old, bytes, target.start) } {
        Ok(()) => Some(target),
        Err(_) => {
            unmap_or_strand(target);
            None
        }
    }
}

/// Fresh memory of `bytes` bytes.
fn map(bytes: usize, align: usize) -> Option<Mapping> {
    if align <= sys::page_bytes() {
        let start = sys::map(None, bytes).ok()?;
        return Some(Mapping { start, bytes });
    }
    cut_aligned(bytes, align, |bytes| sys::map(None, bytes))
}

/// Maps more than is needed and keeps the aligned part.
fn cut_aligned(
    bytes: usize,
    align: usize,
    map: impl Fn(usize) -> sys::Result<NonNull<u8>>,
) -> Option<Mapping> {
    let wide = bytes.checked_add(align)?;
    let start = map(wide).ok()?;
    let head = align_up(start.addr().get(), align).wrapping_sub(start.addr().get());
    let tail = wide.wrapping_sub(head).wrapping_sub(bytes);
    // SAFETY: `head` is less than `align`, so the aligned part lies inside the mapping.
    let aligned = unsafe { start.byte_add(head) };
    if head != 0 {
        unmap_or_strand(Mapping { start, bytes: head });
    }
    if tail != 0 {
        // SAFETY: the tail begins inside the mapping.
        unmap_or_strand(Mapping { start: unsafe { aligned.byte_add(bytes) }, bytes: tail });
    }
    Some(Mapping { start: aligned, bytes })
}

/// A retained mapping, cut or grown to exactly `bytes`.
fn recut(bytes: usize, align: usize, contents: Contents) -> Option<Mapping> {
    if align > sys::page_bytes() {
        return None;
    }
    let found = CACHE.lock().take(bytes)?;
    let fitted = if found.bytes == bytes {
        found
    } else if found.bytes > bytes {
        // SAFETY: a retained mapping is nobody's; its tail is given up.
        if unsafe { sys::remap_in_place(found.start, found.bytes, bytes) }.is_err() {
            retain_or_unmap(found);
            return None;
        }
        Mapping { bytes, ..found }
    } else {
        match grow(found, bytes, 1) {
            Some(grown) => grown,
            None => {
                retain_or_unmap(found);
                return None;
            }
        }
    };
    if contents == Contents::Zero {
        // What was retained is dirty; what it grew by is fresh. Writing zeroes costs a
        // fraction of giving the pages back and faulting them in again.
        // SAFETY: the mapping is this function's own, and at least that long.
        unsafe { fitted.start.write_bytes(0, found.bytes.min(bytes)) };
    }
    Some(fitted)
}

/// Keeps a mapping that was freed for reuse, within bounds, and unmaps what has waited long.
fn retain_or_unmap(mapping: Mapping) {
    let now_ms = sys::now_ms();
    let mut rejected = CACHE.lock().put(mapping, now_ms);
    while let Some(mapping) = rejected {
        unmap(mapping, now_ms);
        rejected = CACHE.lock().pop_due(now_ms);
    }
}

/// Unmaps what has waited long enough, a step at a time.
pub(crate) fn purge_due() {
    if Cache::is_due(sys::now_ms) {
        let now_ms = sys::now_ms();
        let due = CACHE.lock().pop_due(now_ms);
        if let Some(mapping) = due {
            unmap(mapping, now_ms);
        }
    }
}

/// Unmaps everything that is retained.
pub(crate) fn release_retained() {
    // Bounded: a mapping that the kernel would not take comes back with this moment's stamp.
    let now_ms = sys::now_ms();
    for _ in 0..crate::config::RETAINED_MAPPINGS {
        let taken = CACHE.lock().pop_oldest();
        match taken {
            Some(mapping) => unmap(mapping, now_ms),
            None => return,
        }
    }
}

fn unmap(mapping: Mapping, now_ms: u64) {
    // SAFETY: the mapping is in no list, and nobody else knows of it.
    if unsafe { sys::unmap(mapping.start, mapping.bytes) }.is_err() {
        // ENOMEM at the map-count limit: give the pages back, keep the range for reuse.
        // SAFETY: as above. Contents do not matter: retained mappings count as dirty.
        let _ = unsafe { sys::discard(mapping.start, mapping.bytes) };
        if let Some(Mapping { bytes, .. }) = CACHE.lock().put_back(mapping, now_ms) {
            STRANDED_BYTES.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }
}

fn unmap_or_strand(mapping: Mapping) {
    // SAFETY: the range was just mapped by the caller, who gives it up.
    if unsafe { sys::unmap(mapping.start, mapping.bytes) }.is_err() {
        STRANDED_BYTES.fetch_add(mapping.bytes as u64, Ordering::Relaxed);
    }
}
