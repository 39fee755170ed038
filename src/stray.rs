//! Ranges that the kernel would not take back: kept, and tried again.
//!
//! `munmap` fails with `ENOMEM` where it would split a mapping at the map-count limit. The range
//! is then as before, so it is linked through its own first words and waits here, its pages given
//! back. No address space is lost, however many calls fail.

use core::ptr::{self, NonNull};

use crate::sync::Lock;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sys;

/// What lies in a stray range, at its beginning or wherever it may be written to.
struct Node {
    next: *mut Node,
    start: NonNull<u8>,
    bytes: usize,
}

/// The ranges, last in, first out.
struct Strays(*mut Node);

// SAFETY: the ranges belong to nobody else and are touched under the lock only.
unsafe impl Send for Strays {}

static STRAYS: Lock<Strays> = Lock::new(Strays(ptr::null_mut()));

static BYTES: AtomicUsize = AtomicUsize::new(0);

/// The lock that a fork must hold.
pub(crate) fn hold() {
    STRAYS.hold();
}

/// Ends [`hold`].
///
/// # Safety
/// As for [`Lock::release`].
pub(crate) unsafe fn release() {
    // SAFETY: forwarded to the caller.
    unsafe { STRAYS.release() }
}

/// Bytes of the ranges kept.
pub(crate) fn bytes() -> usize {
    BYTES.load(Ordering::Relaxed)
}

/// Unmaps the range, now or later.
///
/// # Safety
/// The caller gives up the range, whole OS pages of private, writable memory.
pub(crate) unsafe fn give_back(start: NonNull<u8>, bytes: usize) {
    // SAFETY: forwarded to the caller.
    if unsafe { sys::unmap(start, bytes) }.is_err() {
        // SAFETY: forwarded to the caller; what the advice did to the contents does not matter.
        let _ = unsafe { sys::discard(start, bytes) };
        // SAFETY: forwarded to the caller.
        unsafe { keep(start, bytes, start) };
    }
}

/// Keeps a range to be unmapped later.
///
/// # Safety
/// The caller gives up the range, whole OS pages of private memory, in which the page that begins at
/// `page` can be written to.
pub(crate) unsafe fn keep(start: NonNull<u8>, bytes: usize, page: NonNull<u8>) {
    let node: NonNull<Node> = page.cast();
    let mut strays = STRAYS.lock();
    // SAFETY: the page is this list's now.
    unsafe { node.write(Node { next: strays.0, start, bytes }) };
    strays.0 = node.as_ptr();
    BYTES.fetch_add(bytes, Ordering::Relaxed);
}

/// Takes the last range, with the page where it may be written to.
fn pop() -> Option<(NonNull<u8>, usize, NonNull<u8>)> {
    let mut strays = STRAYS.lock();
    let node = NonNull::new(strays.0)?;
    // SAFETY: what is on the list is a range that was kept, with its node.
    let Node { next, start, bytes } = unsafe { node.read() };
    strays.0 = next;
    BYTES.fetch_sub(bytes, Ordering::Relaxed);
    Some((start, bytes, node.cast()))
}

/// Tries to unmap up to `most` ranges, until one is refused again.
pub(crate) fn retry(most: usize) {
    for _ in 0..most {
        if bytes() == 0 {
            return;
        }
        let Some((start, bytes, page)) = pop() else { return };
        // SAFETY: a range from the list is nobody else's.
        if unsafe { sys::unmap(start, bytes) }.is_err() {
            // SAFETY: as above; it is as it was.
            return unsafe { keep(start, bytes, page) };
        }
    }
}
