//! Memory for the allocator's own records, which never go away: heaps, leaves of the chunk index,
//! shelves' records.
//!
//! State: the piece that records are cut from, under a lock that takes no other.

use core::cell::UnsafeCell;
use core::ptr::NonNull;

use crate::base::address::align_up;
use crate::base::atomic::{AtomicUsize, Ordering};
use crate::os;
use crate::os::lock::Lock;

/// Bytes of the first piece, in the program's own zeroed data: a small program maps nothing for
/// records.
const FIRST_BYTES: usize = 32 << 10;
/// Bytes of each further piece, a mapping. No record is longer.
const NEXT_BYTES: usize = 128 << 10;

#[repr(align(128))]
struct First(UnsafeCell<[u8; FIRST_BYTES]>);

// SAFETY: `PIECE` hands its bytes out once each, under the lock.
unsafe impl Sync for First {}

static FIRST: First = First(UnsafeCell::new([0; FIRST_BYTES]));

/// The rest of the piece that records are cut from.
struct Piece {
    start: usize,
    bytes: usize,
}

/// None before the first record.
static PIECE: Lock<Option<Piece>> = Lock::new(None);

/// Abandons the piece that another thread of the parent was cutting from. For a child.
///
/// # Safety
/// As for [`Lock::mend`].
pub(crate) unsafe fn mend() {
    // SAFETY: forwarded to the caller.
    unsafe { PIECE.mend(|piece| *piece = Some(Piece { start: 0, bytes: 0 })) }
}

/// Bytes mapped for records, since the start; the first piece is not mapped.
pub(crate) fn mapped_bytes() -> usize {
    MAPPED.load(Ordering::Relaxed)
}

static MAPPED: AtomicUsize = AtomicUsize::new(0);

/// `bytes` of zeroed memory on a 128-byte boundary, for ever. None where there is no memory, or a
/// record would be longer than a piece.
pub(crate) fn take(bytes: usize) -> Option<NonNull<u8>> {
    let bytes = align_up(bytes, 128);
    if bytes > NEXT_BYTES {
        return None;
    }
    let mut guard = PIECE.lock();
    let piece =
        guard.get_or_insert_with(|| Piece { start: FIRST.0.get().expose_provenance(), bytes: FIRST_BYTES });
    if piece.bytes < bytes {
        let start = os::map(None, NEXT_BYTES).ok()?.as_ptr().expose_provenance();
        MAPPED.fetch_add(NEXT_BYTES, Ordering::Relaxed);
        *piece = Piece { start, bytes: NEXT_BYTES };
    }
    let taken = piece.start;
    piece.start = piece.start.wrapping_add(bytes);
    piece.bytes = piece.bytes.wrapping_sub(bytes);
    NonNull::new(core::ptr::with_exposed_provenance_mut(taken))
}
