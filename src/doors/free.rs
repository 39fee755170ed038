//! Frees, whatever the door: into the thread's own slab, to another thread, or back to the kernel.
//!
//! What is usual comes first in each function; everything that can be wrong is looked at in the rest.

use core::alloc::Layout;
use core::ptr::{self, NonNull};

use crate::block::free_list::{self, Block};
use crate::block::hardening::{self, Key, route};
use crate::block::size_class::Route;
#[cfg(feature = "profile")]
use crate::heap::sampling;
use crate::heap::thread;
use crate::heap::{Heap, shared};
use crate::memory::chunk;
use crate::memory::large;
use crate::memory::slab::{Occupancy, Slab};
use crate::os::KeepErrno;
use crate::os::fatal;

/// Frees a block of `layout` that is not at the first look of `heap`, the calling thread's.
///
/// # Safety
/// As for `GlobalAlloc::dealloc`.
#[inline(never)]
pub(crate) unsafe fn dealloc_slow(heap: &'static Heap, pointer: *mut u8, layout: Layout) {
    if matches!(route(layout), Route::Small(_))
        // SAFETY: the layout says that the pointer lies in a slab.
        && let Some((slab, place)) = unsafe { slab_by_layout(pointer.addr()) }
    {
        if slab.takes_frees_of(heap.inbox())
            && (hardening::ON || slab.units() == 1 || slab.has_block(place))
            // SAFETY: blocks have at least two words.
            && !unsafe { free_list::looks_free(pointer) }
            && let Some(key) = slab.check_fast(pointer, place, Some(layout))
        {
            heap.remember(slab);
            heap.count_freed(layout.size());
            // SAFETY: the caller gives up the block.
            return unsafe { give(slab, pointer, key) };
        }
        if is_elsewhere(slab, heap)
            && (hardening::ON || slab.has_block(place))
            && let Some(key) = slab.check_fast(pointer, place, Some(layout))
        {
            heap.count_freed(layout.size());
            // SAFETY: the caller gives up the block.
            return unsafe { send(heap, slab, pointer, key) };
        }
    }
    // SAFETY: forwarded to the caller.
    unsafe { dealloc_rest(pointer, layout) }
}

/// The rare rest of [`dealloc_slow`], which would make it save registers.
///
/// # Safety
/// As for `GlobalAlloc::dealloc`.
#[inline(never)]
unsafe fn dealloc_rest(pointer: *mut u8, layout: Layout) {
    let _keep = KeepErrno::new();
    thread::count_freed(layout.size());
    let Some(start) = NonNull::new(pointer) else { return };
    match route(layout) {
        Route::Large => free_large(start),
        // SAFETY: forwarded to the caller.
        Route::Small(_) => unsafe { free_block(start, Some(layout)) },
    }
    start_purger();
}

/// The slab that `address` lies in, and how far from its first block, where a layout says that it lies in
/// one: taken at its word, or not where everything is checked.
///
/// # Safety
/// The address lies in a slab, whose chunk is mapped.
#[inline(always)]
unsafe fn slab_by_layout(address: usize) -> Option<(&'static Slab, usize)> {
    if hardening::ON {
        return slab_with_block(address);
    }
    if chunk::is_header(address) {
        return None;
    }
    // SAFETY: forwarded to the caller.
    Some(unsafe { &*chunk::record_at(address) }.around(address))
}

/// Frees whatever begins at `pointer`, if it is not at the first look of `heap`, the calling thread's.
///
/// # Safety
/// The caller gives up the block, if there is one.
#[inline(never)]
pub(crate) unsafe fn free_untyped(heap: &'static Heap, pointer: *mut u8) {
    let Some(start) = NonNull::new(pointer) else { return };
    if let Some((slab, place)) = slab_with_block(pointer.addr()) {
        if slab.takes_frees_of(heap.inbox())
            // SAFETY: a block begins here, and blocks have at least two words.
            && !unsafe { free_list::looks_free(pointer) }
            && let Some(key) = slab.check_fast(pointer, place, None)
        {
            heap.remember(slab);
            // SAFETY: the caller gives up the block.
            return unsafe { give(slab, pointer, key) };
        }
        if is_elsewhere(slab, heap)
            && let Some(key) = slab.check_fast(pointer, place, None)
        {
            // SAFETY: the caller gives up the block.
            return unsafe { send(heap, slab, pointer, key) };
        }
    }
    // SAFETY: forwarded to the caller.
    unsafe { free_untyped_rest(start) }
}

/// The rare rest of [`free_untyped`].
///
/// # Safety
/// As for [`free_untyped`].
#[inline(never)]
unsafe fn free_untyped_rest(start: NonNull<u8>) {
    let _keep = KeepErrno::new();
    if chunk::index::contains(start.addr().get()) {
        // SAFETY: forwarded to the caller.
        unsafe { free_block(start, None) }
    } else {
        match hardening::zero_size::free(start) {
            Some(true) => {}
            Some(false) => fatal::caught("double free", start.addr().get()),
            None => free_large(start),
        }
    }
    start_purger();
}

/// The slab that has a block at `address`, used or free.
pub(crate) fn slab_of_block(address: usize) -> Option<&'static Slab> {
    Some(slab_with_block(address)?.0)
}

/// The slab that has a block at `address`, used or free, and how far that is from its first block.
fn slab_with_block(address: usize) -> Option<(&'static Slab, usize)> {
    if !chunk::index::contains(address) || chunk::is_header(address) {
        return None;
    }
    // SAFETY: the chunk is ours, and so mapped, and the address is not in its header.
    let (slab, place) = unsafe { &*chunk::record_at(address) }.around(address);
    if slab.home().is_null() || !slab.has_block(place) { None } else { Some((slab, place)) }
}

/// Takes back a block of a slab of the calling thread's heap that [is served](Slab::takes_frees_of).
///
/// # Safety
/// The caller gives up the block at `pointer`, which the slab has; `key` is its own.
#[inline(always)]
pub(crate) unsafe fn give(slab: &'static Slab, pointer: *mut u8, key: Key) {
    let block_bytes = slab.cleared_block_bytes();
    if hardening::is_long(block_bytes) {
        // SAFETY: forwarded to the caller.
        return unsafe { give_long(slab, pointer, key) };
    }
    // SAFETY: forwarded to the caller.
    put(slab, unsafe { retired(pointer, key, block_bytes) });
}

/// As [`give`].
///
/// # Safety
/// As there.
#[inline(never)]
unsafe fn give_long(slab: &'static Slab, pointer: *mut u8, key: Key) {
    // SAFETY: forwarded to the caller.
    put(slab, unsafe { retired(pointer, key, slab.cleared_block_bytes()) });
}

/// Takes back a block.
#[inline(always)]
fn put(slab: &'static Slab, block: Block) {
    if slab.push(block) == Occupancy::Empty {
        emptied(slab);
    }
}

/// The block at `pointer`, with nothing in it.
///
/// # Safety
/// The caller gives up the block at `pointer`, which has so many bytes as `Slab::cleared_block_bytes` says; `key`
/// is its own.
#[inline(always)]
unsafe fn retired(pointer: *mut u8, key: Key, block_bytes: usize) -> Block {
    // Its pointer is made from the chunk's own provenance, since the caller's may reach fewer
    // bytes than the block has.
    let start = reexposed(pointer);
    hardening::clear_for_list(start, block_bytes);
    // SAFETY: forwarded to the caller.
    unsafe { Block::with_key(start, key) }
}

/// The same address, with the provenance of the chunk.
#[inline(always)]
pub(crate) fn reexposed(pointer: *mut u8) -> NonNull<u8> {
    // SAFETY: a pointer that was allocated is not null.
    unsafe { NonNull::new_unchecked(ptr::with_exposed_provenance_mut(pointer.addr())) }
}

#[cold]
#[inline(never)]
pub(crate) fn emptied(slab: &'static Slab) {
    let _keep = KeepErrno::new();
    thread::heap().settle(slab, Occupancy::Empty);
    start_purger();
}

/// Starts the purger, if the call that ends here has left something to it.
#[inline(always)]
pub(crate) fn start_purger() {
    #[cfg(feature = "background-purge")]
    crate::heap::background::start_wanted();
}

/// Whether a slab belongs to another heap than `heap`, which is the calling thread's own.
#[inline(always)]
fn is_elsewhere(slab: &Slab, heap: &'static Heap) -> bool {
    let home = slab.home();
    #[cfg(feature = "profile")]
    if sampling::is_home(home) {
        return false;
    }
    !home.is_null() && !ptr::eq(home, heap.inbox()) && thread::is_own(heap)
}

/// Frees a block of another heap's slab.
///
/// # Safety
/// The caller gives up the block at `pointer`, which the slab has; `key` is its own, and `heap` the calling
/// thread's.
#[inline(always)]
unsafe fn send(heap: &'static Heap, slab: &'static Slab, pointer: *mut u8, key: Key) {
    // SAFETY: forwarded to the caller.
    unsafe { heap.send(slab, retired(pointer, key, slab.cleared_block_bytes())) };
    start_purger();
}

/// Frees a block of a slab after looking at everything that can be wrong with it. `layout`: what it
/// is said to be.
///
/// # Safety
/// If a block begins at `start`, the caller gives it up.
unsafe fn free_block(start: NonNull<u8>, layout: Option<Layout>) {
    let address = start.addr().get();
    let Some(slab) = slab_of_block(address) else {
        return fatal::caught("free of an address that is no allocation", address);
    };
    let key = match slab.check_or_diagnose(start.as_ptr(), layout) {
        Ok(key) => key,
        Err(fault) => return fatal::caught(fault, address),
    };
    // SAFETY: a block begins here, and the caller gives it up.
    let block = unsafe { retired(start.as_ptr(), key, slab.cleared_block_bytes()) };
    #[cfg(feature = "profile")]
    if sampling::is_home(slab.home()) {
        return sampling::free(slab, block);
    }
    match thread::own_heap() {
        Some(heap) if ptr::eq(slab.home(), heap.inbox()) => heap.free(slab, block),
        // SAFETY: as above.
        Some(heap) => unsafe { heap.send(slab, block) },
        // SAFETY: as above.
        None => unsafe { shared::free(slab, block) },
    }
}

fn free_large(start: NonNull<u8>) {
    #[cfg(feature = "profile")]
    sampling::large_freed(start);
    large::free(start);
}
