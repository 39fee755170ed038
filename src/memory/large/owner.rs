//! Which group a large allocation belongs to, noted in the registry.
//!
//! State: how many allocations have an owner, an atomic word.

use core::ptr::{self, NonNull};

use super::REGISTRY;
use crate::base::atomic::{AtomicUsize, Ordering};
use crate::policy::books::Books;

/// Allocations with an owner. A program without groups looks nothing up.
static OWNED: AtomicUsize = AtomicUsize::new(0);

/// The books whose address the registry has.
fn books_at(address: usize) -> Option<&'static Books> {
    // SAFETY: only `own` writes owners, and books are never unmapped.
    unsafe { ptr::with_exposed_provenance::<Books>(address).as_ref() }
}

/// Gives the allocation at `start`, which has no owner, to `books`. Returns the bytes of its range.
pub(crate) fn own(start: NonNull<u8>, books: &'static Books) -> usize {
    OWNED.fetch_add(1, Ordering::Relaxed);
    let address = ptr::from_ref(books).expose_provenance();
    REGISTRY.lock().set_owner(start, address).map_or(0, |(_, bytes)| bytes)
}

/// Takes the allocation at `start` from its owner, if it has one. Returns that, and the bytes of
/// the range.
pub(crate) fn disown(start: NonNull<u8>) -> Option<(&'static Books, usize)> {
    if OWNED.load(Ordering::Relaxed) == 0 {
        return None;
    }
    let (before, bytes) = REGISTRY.lock().set_owner(start, 0)?;
    let books = books_at(before)?;
    OWNED.fetch_sub(1, Ordering::Relaxed);
    Some((books, bytes))
}

/// The owner of the allocation at `start`.
pub(crate) fn owner(start: NonNull<u8>) -> Option<&'static Books> {
    if OWNED.load(Ordering::Relaxed) == 0 {
        return None;
    }
    // A statement of its own, for the lock.
    let address = REGISTRY.lock().owner(start);
    books_at(address)
}
