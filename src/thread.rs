//! A thread's heap: the slot that points to it, its making, and its end.
//!
//! The slot is never null. Before the first allocation it points to [`NEW`], while the heap
//! is being made and after the thread's end to [`DETACHED`]: both are empty, so that every
//! request falls through to the slow path, which looks which of them it is.

use core::ffi::c_void;
use core::ptr::{self, NonNull};

use crate::depot;
use crate::heap::{Heap, help, shared, tally};
use crate::large;
use crate::meta;
use crate::slot::{self, NEW};
use crate::stray;
use crate::sync::Lock;
use crate::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering};
use crate::sys;

static DETACHED: Heap = Heap::new();

/// The calling thread's heap, or a stand-in that has nothing.
#[inline(always)]
pub(crate) fn heap() -> &'static Heap {
    // SAFETY: the slot points to a static or to memory that is never taken back.
    unsafe { &*slot::get() }
}

/// The calling thread's heap, made if this is its first need of one. None while it is being
/// made, and after the thread's end.
#[inline]
pub(crate) fn own_heap() -> Option<&'static Heap> {
    let heap = heap();
    if ptr::eq(heap, &raw const NEW) {
        return attach();
    }
    if ptr::eq(heap, &raw const DETACHED) { None } else { Some(heap) }
}

/// Whether `heap`, the calling thread's, is not a stand-in.
#[inline]
pub(crate) fn is_own(heap: &Heap) -> bool {
    !ptr::eq(heap, &raw const NEW) && !ptr::eq(heap, &raw const DETACHED)
}

/// The calling thread's heap, if it has one.
fn existing_heap() -> Option<&'static Heap> {
    Some(heap()).filter(|heap| is_own(heap))
}

/// Heaps whose threads have ended, for the next ones.
struct Idle(*const Heap);

// SAFETY: heaps on the list are used by nobody, and the list only under its lock.
unsafe impl Send for Idle {}

static IDLE: Lock<Idle> = Lock::new(Idle(ptr::null()));

/// Gives the calling thread a heap. The allocations that this may cause are the shared heap's.
#[cold]
fn attach() -> Option<&'static Heap> {
    slot::set(&raw const DETACHED);
    let key = exit_key()?;
    let heap = idle_heap().or_else(new_heap)?;
    if sys::key_set(key, ptr::from_ref(heap).cast()).is_err() {
        put_idle(heap);
        return None;
    }
    heap.tally.set_thread(sys::thread_id());
    slot::set(heap);
    Some(heap)
}

fn new_heap() -> Option<&'static Heap> {
    let place: NonNull<Heap> = meta::take(size_of::<Heap>())?.cast();
    // Copied from one that nobody has ever used: built on the stack first, as unoptimised code
    // does, it would be too much for a thread with the smallest stack.
    // SAFETY: the place is fresh, aligned, long enough, and never taken back; an empty heap is its bytes.
    unsafe { place.as_ptr().copy_from_nonoverlapping(&raw const DETACHED, 1) };
    // SAFETY: as above.
    let heap: &'static Heap = unsafe { place.as_ref() };
    tally::enlist(heap);
    Some(heap)
}

/// What threads without a heap asked for, less what they freed.
static ASKED: AtomicUsize = AtomicUsize::new(0);

/// Counts bytes that the calling thread was asked for, on a slow path.
pub(crate) fn count_asked(bytes: usize) {
    match existing_heap() {
        Some(heap) => heap.count_asked(bytes),
        None => {
            ASKED.fetch_add(bytes, Ordering::Relaxed);
        }
    }
}

/// Counts bytes that the calling thread was given back, on a slow path.
pub(crate) fn count_freed(bytes: usize) {
    count_asked(bytes.wrapping_neg());
}

/// Live bytes as they were asked for, of all threads.
pub(crate) fn asked_bytes() -> usize {
    tally::heaps().map(Heap::asked_bytes).fold(ASKED.load(Ordering::Relaxed), usize::wrapping_add)
}

fn idle_heap() -> Option<&'static Heap> {
    let mut idle = IDLE.lock();
    // SAFETY: heaps are never unmapped.
    let heap = unsafe { idle.0.as_ref() }?;
    idle.0 = heap.next_idle.replace(ptr::null());
    Some(heap)
}

fn put_idle(heap: &'static Heap) {
    let mut idle = IDLE.lock();
    heap.next_idle.set(idle.0);
    idle.0 = heap;
}

/// States of the process-wide preparations.
const UNPREPARED: u8 = 0;
const PREPARING: u8 = 1;
const PREPARED: u8 = 2;
const IMPOSSIBLE: u8 = 3;

static STATE: AtomicU8 = AtomicU8::new(UNPREPARED);
static KEY: AtomicU32 = AtomicU32::new(0);

/// The key whose destructor ends threads' heaps. None while another thread, or this one
/// further up its stack, is making it.
fn exit_key() -> Option<libc::pthread_key_t> {
    match STATE.compare_exchange(UNPREPARED, PREPARING, Ordering::Acquire, Ordering::Acquire) {
        Err(PREPARED) => {}
        Err(PREPARING) => {
            // Only for this call: the next one asks again.
            slot::set(&raw const NEW);
            return None;
        }
        Err(_) => return None,
        Ok(_) => {
            let key = sys::key_create(end_of_thread);
            if let Ok(key) = key {
                KEY.store(key, Ordering::Relaxed);
                // Without handlers a fork still works, unless another thread holds a lock.
                let _ = sys::at_fork(before_fork, after_fork, after_fork);
            }
            STATE.store(if key.is_ok() { PREPARED } else { IMPOSSIBLE }, Ordering::Release);
            key.ok()?;
        }
    }
    Some(KEY.load(Ordering::Relaxed))
}

/// Runs when a thread ends, in the first round of key destructors in which it has a heap. It does
/// not wait for the last: a thread whose first allocation is in a destructor may not see another
/// round, and its heap would be lost. What allocates later is served by the shared heap.
unsafe extern "C-unwind" fn end_of_thread(heap: *mut c_void) {
    slot::set(&raw const DETACHED);
    // SAFETY: the key's value is the thread's heap, and heaps are never unmapped.
    let heap: &'static Heap = unsafe { &*heap.cast::<Heap>() };
    heap.retire();
    heap.tally.set_thread(0);
    put_idle(heap);
}

/// Every lock, in the one order in which they nest: the shared heap's before the depot's and
/// the record memory's.
unsafe extern "C-unwind" fn before_fork() {
    #[cfg(feature = "profile")]
    crate::profile::hold();
    #[cfg(feature = "background-purge")]
    crate::background::hold();
    help::hold();
    IDLE.hold();
    shared::hold();
    depot::hold();
    large::hold();
    meta::hold();
    stray::hold();
}

/// In the parent and in the child, whose only thread is the one that forked. In the child the
/// other threads' heaps stay as they were caught, perhaps half-way through a change: frees
/// into them are announced to inboxes that nobody opens, and their blocks are never reused.
unsafe extern "C-unwind" fn after_fork() {
    // SAFETY: this thread, or its original, took the locks in `before_fork`.
    unsafe {
        stray::release();
        meta::release();
        large::release();
        depot::release_lock();
        shared::release();
        IDLE.release();
        help::release();
        #[cfg(feature = "background-purge")]
        crate::background::release();
        #[cfg(feature = "profile")]
        crate::profile::release();
    }
    // The child's thread has a number of its own.
    if let Some(heap) = existing_heap() {
        heap.tally.set_thread(sys::thread_id());
    }
}

/// Gives back what the calling thread does not use.
pub(crate) fn rest() {
    if let Some(heap) = existing_heap() {
        heap.trim();
    }
}

/// Gives back the pages inside free blocks of the calling thread's slabs and of those that ended threads left.
pub(crate) fn hollow() {
    if let Some(heap) = existing_heap() {
        heap.hollow(true, usize::MAX);
    }
    shared::hollow();
}

/// Adopts and gives back what ended threads and the calling thread left, and what other threads
/// have put aside or were freed while they sleep.
pub(crate) fn trim() {
    rest();
    tally::heaps().for_each(Heap::give_up_spares);
    // Also passes on late announcements to heaps that wait for a thread.
    help::all();
    shared::trim();
    #[cfg(feature = "profile")]
    crate::profile::trim();
}
