//! The heap of no thread: abandoned slabs, until another thread adopts them, and the allocations of
//! threads without a heap of their own.

use core::ptr;

#[cfg(feature = "background-purge")]
use super::help;
use super::{Found, Heap, tally};
use crate::base::atomic::{AtomicPtr, AtomicUsize, Ordering};
use crate::block::free_list::{self, Block};
use crate::block::size_class::{CLASSES, Class};
use crate::memory::depot;
use crate::memory::slab::{Inbox, Slab, SlabList, SlabState};
use crate::os::KeepErrno;
use crate::os::lock::Lock;

/// Slabs that are moved under one hold of the lock, so that others do not wait for long.
const STEP: usize = 64;

static FIRST: Heap = Heap::new();

/// The shared heap; null in a child that has given its parent's up, until there is memory for
/// another.
static SHARED: AtomicPtr<Heap> = AtomicPtr::new((&raw const FIRST).cast_mut());

/// Empty slabs of the shared heap on their way to the depot. It may call the kernel, so the lock's
/// holder leaves them here and brings them there afterwards.
struct Emptied(SlabList);

// SAFETY: the slabs are nobody else's, and the list is touched under its lock only.
unsafe impl Send for Emptied {}

static LOCK: Lock<()> = Lock::new(());
static EMPTIED: Lock<Emptied> = Lock::new(Emptied(SlabList::new()));

/// Whether the shared heap may have a slab of each class with room: one if so. A hint, read without
/// the lock.
static WITH_ROOM: [AtomicUsize; CLASSES] = [const { AtomicUsize::new(0) }; CLASSES];

/// Gives up the shared heap that another thread of the parent was using: what is freed into its
/// slabs is announced to an inbox that nobody opens, as with the heaps of the other threads. For a
/// child.
///
/// # Safety
/// As for [`Lock::mend`].
pub(crate) unsafe fn mend() {
    // SAFETY: forwarded to the caller.
    unsafe {
        LOCK.mend(|()| SHARED.store(ptr::null_mut(), Ordering::Relaxed));
        EMPTIED.mend(|emptied| emptied.0 = SlabList::new());
    }
}

/// The heap itself, for statistics.
pub(super) fn heap() -> Option<&'static Heap> {
    // SAFETY: heaps are never unmapped.
    unsafe { SHARED.load(Ordering::Acquire).as_ref() }
}

/// Whether `home` is the shared heap's.
pub(super) fn is_shared(home: *const Inbox) -> bool {
    heap().is_some_and(|heap| ptr::eq(home, heap.inbox()))
}

/// The heap, made where there is none. Under the lock.
fn heap_or_new() -> Option<&'static Heap> {
    heap().or_else(|| {
        let fresh = Heap::fresh()?;
        SHARED.store(ptr::from_ref(fresh).cast_mut(), Ordering::Release);
        Some(fresh)
    })
}

/// Lets `work` use the shared heap, and brings to the depot what that has emptied, without the
/// lock.
fn with<T>(work: impl FnOnce(&'static Heap) -> T) -> Option<T> {
    let lock = LOCK.lock();
    let done = work(heap_or_new()?);
    drop(lock);
    release_emptied();
    Some(done)
}

/// As [`with`], if the lock is to be had at once.
fn try_with<T>(work: impl FnOnce(&'static Heap) -> T) -> Option<T> {
    let lock = LOCK.try_lock()?;
    let done = work(heap_or_new()?);
    drop(lock);
    release_emptied();
    Some(done)
}

/// Leaves a closed slab of the shared heap to whoever holds its lock.
pub(super) fn put_emptied(slab: &'static Slab) {
    EMPTIED.lock().0.push_first(slab);
}

fn release_emptied() {
    loop {
        // A statement of its own: the depot is not to be called under the lock.
        let slab = EMPTIED.lock().0.pop();
        let Some(slab) = slab else { return };
        depot::release(slab);
    }
}

/// A block of `class` for a thread without a heap.
pub(crate) fn refill(class: Class) -> Option<Found> {
    let found = with(|heap| match heap.pop(class) {
        Some(block) => Some(Found { block, zero: false }),
        None => heap.refill(class),
    })?;
    if found.is_some() {
        return found;
    }
    let (slab, zero) = depot::acquire_resident(class).or_else(|| depot::acquire(class))?;
    let add = |heap: &'static Heap| {
        slab.open(class, zero, heap.inbox());
        heap.replace_current(class, slab);
        heap.carve(slab)
    };
    let found = with(add);
    if found.is_none() {
        depot::release(slab);
    }
    found
}

/// Frees a block for a thread without a heap, whoever the slab belongs to.
///
/// # Safety
/// The caller gives up the block, a used one of `slab`.
pub(crate) unsafe fn free(slab: &'static Slab, mut block: Block) {
    tally::sent_without_heap(slab.class());
    // SAFETY: the token says that the block is readable.
    if unsafe { free_list::looks_free(block.address() as *const u8) } {
        block = match slab.defer_check(block) {
            Ok(announced_to) => return collect_if_shared(announced_to),
            Err(block) => block,
        };
    }
    block.link(ptr::null_mut());
    let start = block.into_raw().as_ptr();
    // SAFETY: a chain of one block, which the caller gives up.
    collect_if_shared(unsafe { slab.publish(start, start, 1) });
}

/// Adopts remote frees at once if they were announced to the shared heap, which has no thread that
/// would. For another heap the purger helps later, unless its thread was first.
pub(crate) fn collect_if_shared(announced_to: Option<&'static Inbox>) {
    #[cfg(feature = "background-purge")]
    if announced_to.is_some() {
        help::note_announcement();
    }
    if announced_to.is_some_and(|home| is_shared(home)) {
        let _keep = KeepErrno::new();
        let _ = try_with(Heap::collect);
    }
}

/// Adopts remote frees into the shared heap and gives back what they emptied.
pub(crate) fn trim() {
    let _ = with(Heap::trim);
}

/// Gives back the pages inside free blocks of the shared heap. Returns the bytes purged or looked
/// at.
pub(crate) fn purge_inside() -> usize {
    with(|heap| heap.purge_inside(true, usize::MAX)).unwrap_or(0)
}

/// A slab of `class` with room whose thread has ended, now of the heap `by`; on no list.
pub(crate) fn adopt(class: Class, by: &'static Heap) -> Option<&'static Slab> {
    #[cfg(feature = "profile")]
    if crate::heap::sampling::is_home(by.inbox()) {
        return None;
    }
    // A group has slabs of its own.
    if by.group().is_some() {
        return None;
    }
    let with_room = WITH_ROOM.get(class.index())?;
    if with_room.load(Ordering::Relaxed) == 0 && heap()?.inbox().is_empty() {
        return None;
    }
    let pop = |heap: &'static Heap| {
        heap.collect();
        let partial = heap.slabs.partial(class);
        let slab = partial.pop();
        with_room.store(usize::from(partial.first().is_some()), Ordering::Relaxed);
        let slab = slab?;
        // Before it is the heap's: a helper expects a partial slab on its list.
        slab.move_to(SlabState::Current);
        slab.set_home(by.inbox());
        Some(slab)
    };
    try_with(pop)?
}

/// Notes that `heap` has a slab of `class` with room, if it is the shared one.
pub(super) fn note_room(heap: &Heap, class: Class) {
    if is_shared(heap.inbox())
        && let Some(with_room) = WITH_ROOM.get(class.index())
    {
        with_room.store(1, Ordering::Relaxed);
    }
}

/// Takes in every slab of `list`, which is one of `from`, a heap whose thread ends. Where there is
/// no memory for a shared heap they stay where they are, for the next thread.
pub(super) fn take_in(from: &Heap, list: &SlabList) {
    let take_some = |heap: &'static Heap| {
        for slab in core::iter::from_fn(|| list.pop()).take(STEP) {
            slab.set_home(heap.inbox());
            heap.watch(slab);
            if slab.state() == SlabState::Full {
                from.tally.unfilled(slab.class());
                heap.tally.filled(slab.class());
                heap.full.push_first(slab);
            } else {
                let partial = heap.slabs.partial(slab.class());
                partial.push_first(slab);
                note_room(heap, slab.class());
            }
        }
    };
    while list.first().is_some() && with(take_some).is_some() {}
}

/// Takes in every slab of `list`, which have room: full ones until now, of a heap whose thread
/// sleeps.
pub(super) fn take_in_with_room(list: &SlabList) {
    let take_some = |heap: &'static Heap| {
        for slab in core::iter::from_fn(|| list.pop()).take(STEP) {
            // In this order, see `Slab::takes_frees_of`.
            slab.set_home(heap.inbox());
            slab.move_to(SlabState::Partial);
            heap.watch(slab);
            let partial = heap.slabs.partial(slab.class());
            partial.push_first(slab);
            note_room(heap, slab.class());
        }
    };
    while list.first().is_some() && with(take_some).is_some() {}
}
