//! A thread's heap: the slot that points to it, its making, and its end.
//!
//! The slot is never null. It points to [`NEW`] before the thread's first allocation, and to
//! [`DETACHED`] while the heap is being made and after the thread's end. Both are empty, so every
//! request falls through to the slow path, which tells them apart.
//!
//! The state: the slots, the list of idle heaps, and the key of POSIX thread-specific data that
//! ends heaps.

use core::ffi::c_void;
use core::ptr;

use crate::base::atomic::{AtomicU8, AtomicU32, Ordering};
use crate::heap::slot::{self, NEW};
use crate::heap::{BLANK as DETACHED, Heap, ended, fork, groups, help, shared, tally};
use crate::os;
use crate::os::lock::{self, Lock};
use crate::policy::requested::{Requested, SharedRequests};

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
pub(super) fn existing_heap() -> Option<&'static Heap> {
    Some(heap()).filter(|heap| is_own(heap))
}

/// Heaps of ended threads, for the next ones: a list, and those that [`collect_idle`] has been
/// through.
struct Idle {
    first: *const Heap,
    collected: *const Heap,
}

// SAFETY: heaps on the lists are used by nobody, and the lists only under their lock.
unsafe impl Send for Idle {}

impl Idle {
    const NONE: Self = Self { first: ptr::null(), collected: ptr::null() };
}

static IDLE: Lock<Idle> = Lock::new(Idle::NONE);

/// Gives the calling thread a heap. The allocations that this may cause are the shared heap's.
#[cold]
fn attach() -> Option<&'static Heap> {
    slot::set(&raw const DETACHED);
    let key = exit_key()?;
    let heap = idle_heap().or_else(new_heap).filter(|heap| is_to_end_with_thread(key, heap));
    if let Some(heap) = heap {
        heap.tally.set_thread(os::thread_id());
    }
    // Without memory for a heap, the next slow path asks again.
    slot::set(heap.map_or(&raw const NEW, ptr::from_ref));
    heap
}

fn is_to_end_with_thread(key: libc::pthread_key_t, heap: &'static Heap) -> bool {
    let is_set = os::key_set(key, ptr::from_ref(heap).cast()).is_ok();
    if !is_set {
        put_idle(heap);
    }
    is_set
}

/// The calling thread never has a heap: no destructor runs at its end.
#[cfg(feature = "background-purge")]
pub(crate) fn go_without_heap() {
    slot::set(&raw const DETACHED);
}

fn new_heap() -> Option<&'static Heap> {
    let heap = Heap::fresh()?;
    tally::enlist(heap);
    Some(heap)
}

/// What threads without a heap have allocated and freed.
static WITHOUT_HEAP: SharedRequests = SharedRequests::new();

/// Counts `more` as the calling thread's. For slow paths.
pub(crate) fn count(more: Requested) {
    match existing_heap() {
        Some(heap) => heap.requests.add(more),
        None => WITHOUT_HEAP.add(more),
    }
}

/// What all threads have allocated and freed.
pub(crate) fn requested() -> Requested {
    tally::heaps().map(Heap::requested).fold(WITHOUT_HEAP.read(), Requested::and)
}

fn idle_heap() -> Option<&'static Heap> {
    let mut idle = IDLE.lock();
    let Idle { first, collected } = &mut *idle;
    pop_idle(first).or_else(|| pop_idle(collected))
}

fn pop_idle(list: &mut *const Heap) -> Option<&'static Heap> {
    // SAFETY: heaps are never unmapped.
    let heap = unsafe { list.as_ref() }?;
    *list = heap.next_idle.replace(ptr::null());
    Some(heap)
}

fn put_idle(heap: &'static Heap) {
    let mut idle = IDLE.lock();
    heap.next_idle.set(idle.first);
    idle.first = heap;
}

/// Passes on late announcements to idle heaps. Each is off the list meanwhile: slabs that fall
/// empty go to the depot, which is not to be called under the lock.
fn collect_idle() {
    loop {
        // A statement of its own, for the lock.
        let heap = pop_idle(&mut IDLE.lock().first);
        let Some(heap) = heap else { break };
        heap.collect();
        let mut idle = IDLE.lock();
        heap.next_idle.set(idle.collected);
        idle.collected = heap;
    }
    let mut idle = IDLE.lock();
    if idle.first.is_null() {
        *idle = Idle { first: idle.collected, collected: ptr::null() };
    }
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
            lock::on_copy(fork::mend, os::wiped_word());
            // The key, the handler and the purger are code of this object.
            os::object::keep_loaded();
            let key = os::key_create(end_of_thread);
            if let Ok(key) = key {
                KEY.store(key, Ordering::Relaxed);
                // Refused, a fork still works where the kernel wipes the word.
                let _ = os::at_fork(in_child);
            }
            STATE.store(if key.is_ok() { PREPARED } else { IMPOSSIBLE }, Ordering::Release);
            key.ok()?;
        }
    }
    Some(KEY.load(Ordering::Relaxed))
}

/// Ends a thread's heap, in the first round of key destructors (pthread_key_create(3)) in which it
/// has one. It does not wait for the last round: a thread whose first allocation is in a destructor
/// may not see another one, and its heap would be lost. Later allocations are the shared heap's.
unsafe extern "C-unwind" fn end_of_thread(heap: *mut c_void) {
    groups::leave_all();
    slot::set(&raw const DETACHED);
    // SAFETY: the key's value is the thread's heap, and heaps are never unmapped.
    let heap: &'static Heap = unsafe { &*heap.cast::<Heap>() };
    heap.retire();
    heap.tally.set_thread(0);
    put_idle(heap);
    ended::purge_if_much();
    #[cfg(feature = "background-purge")]
    crate::heap::background::start_wanted();
}

/// In a forked child, after the handlers of others that were registered before.
unsafe extern "C-unwind" fn in_child() {
    lock::is_copied();
    note_thread();
}

/// The child's thread has a number of its own.
fn note_thread() {
    for heap in groups::chain() {
        heap.tally.set_thread(os::thread_id());
    }
}

/// Empties the list of idle heaps, if another thread of the parent was changing it. For a child.
///
/// # Safety
/// As for [`Lock::mend`].
pub(super) unsafe fn mend_idle() {
    // SAFETY: forwarded to the caller.
    unsafe { IDLE.mend(|idle| *idle = Idle::NONE) }
}

/// Ends the making of the key by another thread of the parent, and notes the calling thread's
/// number. For a child.
pub(super) fn mend_own() {
    let _ = STATE.compare_exchange(PREPARING, UNPREPARED, Ordering::Relaxed, Ordering::Relaxed);
    note_thread();
}

/// [Trims](Heap::trim) the calling thread's heap, and those of the groups that it is in.
pub(crate) fn trim_own() {
    groups::chain().for_each(Heap::trim);
}

/// Purges the pages inside free blocks of the calling thread's slabs and of abandoned ones.
pub(crate) fn purge_inside() {
    if let Some(heap) = existing_heap() {
        let _ = heap.purge_inside(true, usize::MAX);
    }
    let _ = shared::purge_inside();
}

/// Trims the calling thread's heap and the shared one, takes the spares of all heaps, and helps
/// sleeping threads.
pub(crate) fn trim() {
    trim_own();
    tally::heaps().for_each(Heap::give_up_spares);
    help::all();
    collect_idle();
    if groups::are_used() {
        groups::trim_idle();
    }
    shared::trim();
    #[cfg(feature = "profile")]
    crate::heap::sampling::trim();
}
