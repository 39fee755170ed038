//! The heap that belongs to no thread: slabs of threads that have ended, until another thread
//! adopts them, and the allocations of threads that have no heap of their own.

use core::ptr;

#[cfg(feature = "background-purge")]
use super::help;
use super::{Found, Heap, tally};
use crate::free_list::{self, Block};
use crate::size_class::{CLASSES, Class};
use crate::slab::{Inbox, Place, Slab, SlabList};
use crate::sync::Lock;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sys::KeepErrno;

/// Slabs that one lock moves: the lock is not held for long.
const STEP: usize = 64;

static SHARED: Heap = Heap::new();
static LOCK: Lock<()> = Lock::new(());

/// How many slabs of each class may be waiting with room; a hint that is read without the lock.
static WAITING: [AtomicUsize; CLASSES] = [const { AtomicUsize::new(0) }; CLASSES];

/// Locks out every other user of the shared heap, for a fork.
pub(crate) fn hold() {
    LOCK.hold();
}

/// Ends [`hold`].
///
/// # Safety
/// As for [`Lock::release`].
pub(crate) unsafe fn release() {
    // SAFETY: forwarded to the caller.
    unsafe { LOCK.release() }
}

/// The heap itself, for statistics.
pub(super) fn heap() -> &'static Heap {
    &SHARED
}

/// Whether `home` is the shared heap's.
pub(super) fn is_shared(home: *const Inbox) -> bool {
    ptr::eq(home, SHARED.inbox())
}

/// A block of `class` for a thread without a heap.
pub(crate) fn find(class: Class) -> Option<Found> {
    let _guard = LOCK.lock();
    match SHARED.pop(class) {
        Some(block) => Some(Found { block, zero: false }),
        None => SHARED.find(class),
    }
}

/// Frees a block for a thread without a heap, whoever the slab belongs to.
///
/// # Safety
/// The caller gives up the block, a used one of `slab`.
pub(crate) unsafe fn free(slab: &'static Slab, mut block: Block) {
    tally::sent_by_nobody(slab.class());
    // SAFETY: the token says that the block is readable.
    if unsafe { free_list::looks_free(block.address() as *const u8) } {
        block = match slab.accuse(block) {
            Ok(told) => return serve(told),
            Err(block) => block,
        };
    }
    block.link(ptr::null_mut());
    let start = block.into_raw().as_ptr();
    // SAFETY: a chain of one block, which the caller gives up.
    serve(unsafe { slab.publish(start, start, 1) });
}

/// Adopts remote frees at once if the home that was `told` of some is the shared heap: no thread
/// of its own would. For another, somebody looks later whether its thread has.
pub(crate) fn serve(told: Option<&'static Inbox>) {
    #[cfg(feature = "background-purge")]
    if told.is_some() {
        help::expect();
    }
    if told.is_some_and(|home| is_shared(home))
        && let Some(_guard) = LOCK.try_lock()
    {
        let _keep = KeepErrno::new();
        SHARED.collect();
    }
}

/// Adopts remote frees into the shared heap and gives back what they emptied.
pub(crate) fn trim() {
    let _guard = LOCK.lock();
    SHARED.trim();
}

/// Gives back the pages inside free blocks of the shared heap.
pub(crate) fn hollow() {
    let _guard = LOCK.lock();
    SHARED.hollow(true, usize::MAX);
}

/// A slab of `class` with room whose thread has ended, now of the heap `by`; on no list.
pub(crate) fn adopt(class: Class, by: &'static Heap) -> Option<&'static Slab> {
    if ptr::eq(by, &raw const SHARED) {
        return None;
    }
    #[cfg(feature = "profile")]
    if crate::profile::is_home(by.inbox()) {
        return None;
    }
    let waiting = WAITING.get(class.index())?;
    if waiting.load(Ordering::Relaxed) == 0 && SHARED.inbox().is_empty() {
        return None;
    }
    let _guard = LOCK.try_lock()?;
    SHARED.collect();
    let (_, partial) = SHARED.bin(class);
    let slab = partial.pop();
    waiting.store(usize::from(partial.first().is_some()), Ordering::Relaxed);
    let slab = slab?;
    // Before it is the heap's: helpers take what is partial for listed.
    slab.move_to(Place::Current);
    slab.set_home(by.inbox());
    Some(slab)
}

/// Notes that `heap` has a slab of `class` with room, if it is the shared one.
pub(super) fn note_waiting(heap: &Heap, class: Class) {
    if ptr::eq(heap, &raw const SHARED)
        && let Some(waiting) = WAITING.get(class.index())
    {
        waiting.store(1, Ordering::Relaxed);
    }
}

/// Takes in every slab of `list`, which is one of `from`, a heap whose thread ends.
pub(super) fn take_in(from: &Heap, list: &SlabList) {
    while list.first().is_some() {
        let _guard = LOCK.lock();
        for slab in core::iter::from_fn(|| list.pop()).take(STEP) {
            slab.set_home(SHARED.inbox());
            if slab.place() == Place::Full {
                from.tally.unfilled(slab.class());
                SHARED.tally.filled(slab.class());
                SHARED.full.push_first(slab);
            } else {
                let (_, partial) = SHARED.bin(slab.class());
                partial.push_first(slab);
                note_waiting(&SHARED, slab.class());
            }
        }
    }
}

/// Takes in every slab of `list`, which have room: full ones until now, of a heap whose thread sleeps.
pub(super) fn take_in_with_room(list: &SlabList) {
    while list.first().is_some() {
        let _guard = LOCK.lock();
        for slab in core::iter::from_fn(|| list.pop()).take(STEP) {
            // In this order, see `Slab::is_served_by`.
            slab.set_home(SHARED.inbox());
            slab.move_to(Place::Partial);
            let (_, partial) = SHARED.bin(slab.class());
            partial.push_first(slab);
            note_waiting(&SHARED, slab.class());
        }
    }
}
