//! Ranges that the kernel would not take back: kept, and tried again.
//!
//! `munmap` fails with `ENOMEM` where it would split a mapping at the map-count limit. The range
//! is then as before, so it is linked through its own first words and waits here, its pages given
//! back. One that nobody may write to, as guarded ranges are once they are freed, is noted in a table instead,
//! and lost, which is counted, only where that is full.

use core::ptr::{self, NonNull};

use crate::base::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::os;
use crate::os::lock::Lock;

/// What lies in a stray range, at its beginning or wherever it may be written to.
struct Node {
    next: *mut Node,
    start: NonNull<u8>,
    bytes: usize,
}

/// Most ranges noted in the table.
const NOTED: usize = 1024;

/// The ranges, last in, first out.
struct Strays {
    linked: *mut Node,
    /// The first `count` are ranges, the others are none.
    noted: [Option<(NonNull<u8>, usize)>; NOTED],
    count: usize,
}

// SAFETY: the ranges belong to nobody else and are touched under the lock only.
unsafe impl Send for Strays {}

static STRAYS: Lock<Strays> = Lock::new(Strays { linked: ptr::null_mut(), noted: [None; NOTED], count: 0 });

static BYTES: AtomicUsize = AtomicUsize::new(0);

/// See [`strand`].
static STRANDED_BYTES: AtomicU64 = AtomicU64::new(0);

/// Counts address space that is lost, or of which the kernel does not say whether it is still ours.
pub(crate) fn note_lost(bytes: usize) {
    STRANDED_BYTES.fetch_add(bytes as u64, Ordering::Relaxed);
}

/// What was counted so.
pub(crate) fn lost_bytes() -> u64 {
    STRANDED_BYTES.load(Ordering::Relaxed)
}

/// Gives the ranges up that another thread of the parent was listing. For a child.
///
/// # Safety
/// As for [`Lock::mend`].
pub(crate) unsafe fn mend() {
    let forget = |strays: &mut Strays| {
        (strays.linked, strays.count) = (ptr::null_mut(), 0);
        note_lost(BYTES.swap(0, Ordering::Relaxed));
    };
    // SAFETY: forwarded to the caller.
    unsafe { STRAYS.mend(forget) }
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
    if unsafe { os::unmap(start, bytes) }.is_err() {
        // SAFETY: forwarded to the caller; what the advice did to the contents does not matter.
        let _ = unsafe { os::discard(start, bytes) };
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
    unsafe { node.write(Node { next: strays.linked, start, bytes }) };
    strays.linked = node.as_ptr();
    BYTES.fetch_add(bytes, Ordering::Relaxed);
}

/// Notes a range, none of which can be written to, to be unmapped later: as [`keep`]. False where too many
/// are.
///
/// # Safety
/// The caller gives up the range, whole OS pages of private memory.
#[must_use]
pub(crate) unsafe fn note(start: NonNull<u8>, bytes: usize) -> bool {
    let mut strays = STRAYS.lock();
    let at = strays.count;
    let Some(place) = strays.noted.get_mut(at) else { return false };
    *place = Some((start, bytes));
    strays.count = at.wrapping_add(1);
    BYTES.fetch_add(bytes, Ordering::Relaxed);
    true
}

/// A range that was kept or noted.
struct Stray {
    start: NonNull<u8>,
    bytes: usize,
    /// Where it may be written to.
    page: Option<NonNull<u8>>,
}

impl Stray {
    /// Takes the last one of a kind.
    fn pop(pop: fn(&mut Strays) -> Option<Self>) -> Option<Self> {
        let stray = pop(&mut STRAYS.lock())?;
        BYTES.fetch_sub(stray.bytes, Ordering::Relaxed);
        Some(stray)
    }

    /// Puts it back.
    fn put(self) {
        // SAFETY: a range from the list is nobody else's.
        let noted = unsafe {
            match self.page {
                Some(page) => return keep(self.start, self.bytes, page),
                None => note(self.start, self.bytes),
            }
        };
        if !noted {
            // Another took its place meanwhile.
            note_lost(self.bytes);
        }
    }
}

impl Strays {
    fn pop_noted(&mut self) -> Option<Stray> {
        let last = self.count.checked_sub(1)?;
        let (start, bytes) = self.noted.get_mut(last)?.take()?;
        self.count = last;
        Some(Stray { start, bytes, page: None })
    }

    fn pop_linked(&mut self) -> Option<Stray> {
        let node = NonNull::new(self.linked)?;
        // SAFETY: what is on the list is a range that was kept, with its node.
        let Node { next, start, bytes } = unsafe { node.read() };
        self.linked = next;
        Some(Stray { start, bytes, page: Some(node.cast()) })
    }
}

/// Tries to unmap up to `most` ranges of each kind, until one is refused again.
pub(crate) fn retry(most: usize) {
    for pop in [Strays::pop_linked, Strays::pop_noted] {
        for _ in 0..most {
            if bytes() == 0 {
                return;
            }
            let Some(stray) = Stray::pop(pop) else { break };
            // SAFETY: a range from the list is nobody else's.
            if unsafe { os::unmap(stray.start, stray.bytes) }.is_err() {
                stray.put();
                break;
            }
        }
    }
}
