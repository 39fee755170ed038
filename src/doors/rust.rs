//! The Rust door: `GlobalAlloc`. A null pointer says "no memory" here alone; the rooms below say
//! `None`.
//!
//! The steps of an allocation, each taken where the one before had no block: `Heap::pop` inline;
//! `refill`, which asks the thread's heap or the shared one; and `retry_after_release`, once
//! everything that is only kept has gone back to the kernel. `start_and_…` are those that may be
//! the process's first: they put the options in force.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};

use super::request::Request;
use super::start;
use crate::base::atomic::{AtomicBool, Ordering};
use crate::block::free_list::Block;
use crate::block::hardening::{self, inline_class, route};
use crate::block::size_class::{CLASS_ALIGN, Class, Route};
use crate::doors::free::{dealloc_slow, give_if_owned, start_purger};
use crate::doors::freestone::Freestone;
use crate::doors::resize;
#[cfg(feature = "profile")]
use crate::heap::sampling;
use crate::heap::thread;
use crate::heap::{Found, groups, shared};
use crate::memory::depot;
use crate::memory::large::{self, Contents};
#[cfg(feature = "profile")]
use crate::observe::profile;
use crate::os::KeepErrno;
use crate::os::count::MUNMAP;
use crate::os::watch;
use crate::policy::limit::{self, COMMITTED};
use crate::policy::options;
use crate::policy::requested::Requested;

// SAFETY: blocks are disjoint, of at least the layout's size and alignment, and stay so until
// they are freed: `route` sends the same layout the same way each time. Nothing unwinds.
unsafe impl GlobalAlloc for Freestone {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() > CLASS_ALIGN {
            return start_and_alloc_aligned(Request::new(layout), self);
        }
        let Some(class) = inline_class(layout) else { return start_and_alloc(Request::new(layout), self) };
        let heap = thread::heap();
        let Some(block) = heap.pop(class) else {
            return if hardening::ON {
                start_and_alloc(Request::new(layout), self)
            } else {
                alloc_binned(Request::new(layout), class, self)
            };
        };
        heap.count_allocated(layout.size());
        let start = hardening::hand_out(block, class, layout).as_ptr();
        watch::open(start, layout.size());
        start
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        watch::close(pointer, layout.size());
        let heap = thread::heap();
        // SAFETY: forwarded to the caller.
        unsafe {
            if !give_if_owned(heap, heap.owned(pointer.addr()), pointer, Some(layout)) {
                dealloc_slow(pointer, Request::new(layout), heap);
            }
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if let Some(class) = inline_class(layout)
            && let Some(block) = thread::heap().pop(class)
        {
            let start = hardening::hand_out(block, class, layout);
            watch::open(start.as_ptr(), layout.size());
            // SAFETY: the block has at least that many bytes.
            unsafe { start.write_bytes(0, layout.size()) };
            return count_if_made(start.as_ptr(), layout);
        }
        start_and_alloc_zeroed(Request::new(layout), self)
    }

    #[inline]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: forwarded to the caller.
        unsafe { resize::with_layout(pointer, Request::new(layout), new_size) }
    }
}

/// Counts the bytes requested, unless the allocation has failed.
#[inline(never)]
pub(super) fn count_if_made(pointer: *mut u8, layout: Layout) -> *mut u8 {
    if !pointer.is_null() {
        thread::count(Requested::allocation(layout.size()));
    }
    pointer
}

// The slow paths that may be the process's first call. The first puts the options in force.

#[inline(never)]
fn start_and_alloc(request: Request, door: &Freestone) -> *mut u8 {
    let layout = request.layout();
    if let Route::Small(class) = route(layout)
        && let heap = thread::heap()
        && let Some(block) = heap.pop_any(class).or_else(|| heap.pop_spare(class))
    {
        heap.count_allocated(layout.size());
        let start = hardening::hand_out(block, class, layout).as_ptr();
        watch::open(start, layout.size());
        return start;
    }
    start::with(&door.options);
    count_if_made(alloc_slow(layout), layout)
}

/// As [`start_and_alloc`], of layouts that no fast path takes. A function of its own, so that the
/// compiler keeps two branches, which are two instructions less than one on both conditions.
#[cold]
#[inline(never)]
fn start_and_alloc_aligned(request: Request, door: &Freestone) -> *mut u8 {
    start_and_alloc(request, door)
}

#[inline(never)]
fn start_and_alloc_zeroed(request: Request, door: &Freestone) -> *mut u8 {
    let layout = request.layout();
    start::with(&door.options);
    count_if_made(alloc_zeroed_slow(layout), layout)
}

/// A block of `class`, from the bin; or from a slab that becomes the current one.
#[cold]
#[inline(never)]
fn alloc_binned(request: Request, class: Class, door: &Freestone) -> *mut u8 {
    let heap = thread::heap();
    let layout = request.layout();
    match heap.pop_binned(class) {
        Some(start) => {
            heap.count_allocated(layout.size());
            watch::open(start.as_ptr(), layout.size());
            start.as_ptr()
        }
        None => start_and_refill(request, class, door),
    }
}

#[cold]
#[inline(never)]
fn start_and_refill(request: Request, class: Class, door: &Freestone) -> *mut u8 {
    let layout = request.layout();
    start::with(&door.options);
    let Some(block) = refill(class) else { return ptr::null_mut() };
    thread::count(Requested::allocation(layout.size()));
    let start = hardening::hand_out(block, class, layout).as_ptr();
    watch::open(start, layout.size());
    start
}

pub(crate) fn or_null(pointer: Option<NonNull<u8>>) -> *mut u8 {
    pointer.map_or(ptr::null_mut(), NonNull::as_ptr)
}

#[inline(never)]
pub(crate) fn alloc_slow(layout: Layout) -> *mut u8 {
    let start = or_null(match route(layout) {
        Route::Small(class) => refill(class).map(|block| hardening::hand_out(block, class, layout)),
        Route::Large => allocate_large(layout, Contents::Any),
    });
    watch::open(start, layout.size());
    start
}

#[inline(never)]
pub(crate) fn alloc_zeroed_slow(layout: Layout) -> *mut u8 {
    or_null(match route(layout) {
        Route::Small(class) => refill_or_release(class).map(|found| {
            if found.zero {
                return hardening::hand_out_fresh(found.block, class, layout);
            }
            let start = hardening::hand_out(found.block, class, layout);
            watch::open(start.as_ptr(), layout.size());
            // SAFETY: the block has at least that many bytes, and is nobody's yet.
            unsafe { large::zero_block(start, layout.size()) };
            start
        }),
        Route::Large => allocate_large(layout, Contents::Zero),
    })
}

fn allocate_large(layout: Layout, contents: Contents) -> Option<NonNull<u8>> {
    let allocate = || groups::allocate_large(layout.size(), layout.align(), contents);
    let start = retry_after_release(layout.size(), allocate)?;
    #[cfg(feature = "profile")]
    {
        profile::read_environment();
        sampling::large_made(start, layout.size());
    }
    Some(start)
}

/// Calls `get`, which needs `bytes` at least, and once more where it has failed and giving back
/// everything that is only kept may help.
pub(crate) fn retry_after_release<T>(bytes: usize, get: impl Fn() -> Option<T>) -> Option<T> {
    let found = match get() {
        Some(found) => Some(found),
        None => {
            let found = get_after_release(bytes, get);
            if found.is_none() {
                limit::note_failure();
            }
            found
        }
    };
    if COMMITTED.take_due() {
        above_soft_limit();
    }
    if groups::are_used() {
        groups::tell_of_soft_limit();
    }
    start_purger();
    found
}

/// Calls `get`, which has failed, once more where that may help: after what its group only keeps
/// was given back, if the group's limit has refused it; else after everything was.
#[cold]
fn get_after_release<T>(bytes: usize, get: impl Fn() -> Option<T>) -> Option<T> {
    if groups::take_refused() {
        groups::trim_refused();
        let found = get();
        if found.is_some() || groups::take_refused() {
            return found;
        }
    }
    if !release_may_help(bytes) {
        return None;
    }
    release_kept();
    get()
}

/// Whether a request of `bytes` that has failed may succeed once everything that is only kept has
/// been given back. Without this question a program that fails over and over would lose what it
/// keeps for nothing.
#[cold]
fn release_may_help(bytes: usize) -> bool {
    // Large allocations are what callers surely hold. How much of the rest is only kept is not
    // known.
    let live = large::survey().live_bytes;
    if !COMMITTED.could_hold(live.saturating_add(bytes)) {
        return false;
    }
    // A length that the kernel refuses even without the kept bytes is refused after a release as
    // well. The exception is a process at its limit of mappings (`vm.max_map_count`), to which
    // every length is refused.
    let kept = large::kept_bytes().saturating_add(depot::mapped_bytes());
    bytes <= kept || large::could_map(bytes.wrapping_sub(kept)) || !large::could_map(1)
}

/// Gives back what is only kept and calls the program's callback: once for each time that the soft
/// limit is passed, in the thread that notices it first.
#[cold]
#[inline(never)]
fn above_soft_limit() {
    static RUNNING: AtomicBool = AtomicBool::new(false);
    release_kept();
    let Some(callback) = options::get().on_soft_limit else { return };
    if !RUNNING.swap(true, Ordering::Acquire) {
        callback(COMMITTED.used());
        RUNNING.store(false, Ordering::Release);
    }
}

/// A block of `class` where `Heap::pop` had none.
#[inline(never)]
pub(crate) fn refill(class: Class) -> Option<Block> {
    refill_or_release(class).map(|found| found.block)
}

/// A block of `class` and whether it is zero: from the heap, or after a release.
fn refill_or_release(class: Class) -> Option<Found> {
    large::purge_due();
    retry_after_release(0, || refill_once(class))
}

/// A block of `class` from the thread's heap; from the shared heap where the thread has none.
pub(crate) fn refill_once(class: Class) -> Option<Found> {
    let Some(heap) = thread::own_heap() else { return shared::refill(class) };
    if let Some(block) = heap.pop(class).or_else(|| heap.pop_open_bin(class)) {
        return Some(Found { block, zero: false });
    }
    #[cfg(feature = "profile")]
    profile::read_environment();
    #[cfg(feature = "profile")]
    if let Some(sampled) = sampling::sample(heap, class) {
        return Some(sampled);
    }
    heap.refill(class)
}

/// Gives back to the kernel, at once, everything that is only kept for reuse: empty slabs of ended
/// threads and of the calling thread, pages of freed slabs, retained mappings, and the pages inside
/// long free blocks of the calling thread's slabs. Slabs that other live threads keep stay theirs.
///
/// True where the kernel took memory back meanwhile, whichever thread gave it. Preserves `errno`;
/// never fails.
///
/// ```
/// # #[global_allocator]
/// # static ALLOC: freestone::Freestone = freestone::Freestone::new();
/// # fn main() {
/// drop(vec![1_u8; 8 << 20]);
/// freestone::purge();
/// assert_eq!(freestone::stats().retained, 0);
/// # }
/// ```
pub fn purge() -> bool {
    let _keep = KeepErrno::new();
    let before = given_back();
    thread::trim();
    thread::purge_inside();
    release_shared();
    start_purger();
    given_back() != before
}

/// How often the kernel has taken memory back, since the start.
fn given_back() -> u64 {
    depot::purges().wrapping_add(MUNMAP.made()).wrapping_sub(MUNMAP.refused())
}

/// Gives back what is only kept and counts as committed: all that a purge does, but pages inside
/// slabs.
fn release_kept() {
    let _keep = KeepErrno::new();
    thread::trim();
    release_shared();
}

fn release_shared() {
    let _ = large::release_retained();
    depot::purge_all();
}

/// For a thread that is about to sleep: hands over the blocks of other threads that it has freed,
/// takes back its own that others have freed, and gives its empty slabs back. Preserves `errno`;
/// never fails.
///
/// ```
/// freestone::thread_idle();
/// ```
pub fn thread_idle() {
    let _keep = KeepErrno::new();
    thread::trim_own();
    start_purger();
}
