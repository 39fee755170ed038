//! Frees, whatever the door: into the thread's own slab, to another thread, or back to the kernel.
//!
//! Three steps, each rarer than the one before: the doors' fast paths, for a slab that the calling
//! thread has freed into lately; `free_slow`, for every other small block; `free_checked`, which
//! finds out what is wrong.

use core::alloc::Layout;
use core::ptr::{self, NonNull};

use super::request::Request;
use crate::base::config::UNIT_BYTES;
use crate::block::free_list::{self, Block};
use crate::block::hardening::{self, Key, route};
use crate::block::size_class::{Class, Route, binned_class};
use crate::heap::bins::Pushed;
#[cfg(feature = "profile")]
use crate::heap::sampling;
use crate::heap::thread;
use crate::heap::{Heap, groups, shared};
use crate::memory::chunk;
use crate::memory::large;
use crate::memory::slab::Slab;
use crate::os::KeepErrno;
use crate::os::fatal;
use crate::policy::requested::Requested;

/// Frees a block of `layout` that the fast path of `dealloc` has left. `heap` is the calling
/// thread's.
///
/// # Safety
/// As for `GlobalAlloc::dealloc`.
#[inline(never)]
pub(super) unsafe fn dealloc_slow(pointer: *mut u8, request: Request, heap: &'static Heap) {
    let layout = request.layout();
    if heap.has_bins()
        && let Some(class) = binned_class(layout)
        && heap.is_fed_from(pointer.addr(), class)
        && heap.push_binned(class, reexposed(pointer)) == Pushed::Done
    {
        return heap.count_freed(layout.size());
    }
    // SAFETY: forwarded to the caller.
    unsafe { dealloc_unbinned(pointer, request, heap) }
}

/// Frees a block of `layout` that is not at hand for a bin. Apart, since the registers it saves
/// would be saved by each free into a bin.
///
/// # Safety
/// As for `GlobalAlloc::dealloc`.
#[inline(never)]
unsafe fn dealloc_unbinned(pointer: *mut u8, request: Request, heap: &'static Heap) {
    let layout = Some(request.layout());
    // SAFETY: forwarded to the caller.
    unsafe {
        if let Some(slab) = heap.owned_far(pointer.addr())
            && give_if_owned(heap, slab, pointer, layout)
        {
            return;
        }
        free_slow(heap, pointer, layout);
    }
}

/// Frees whatever begins at `pointer` after the fast path of `untyped::free` has left it. `heap` is
/// the calling thread's. Null is ignored.
///
/// # Safety
/// The caller gives up the block, if there is one.
#[inline(never)]
pub(crate) unsafe fn free_untyped(pointer: *mut u8, heap: &'static Heap) {
    // SAFETY: forwarded to the caller.
    unsafe { if heap.has_bins() { free_binned(pointer, heap) } else { free_unbinned(pointer, heap) } }
}

/// As [`free_untyped`], where it may be a block for a bin.
///
/// # Safety
/// As there.
#[inline(never)]
unsafe fn free_binned(pointer: *mut u8, heap: &'static Heap) {
    if let Some(class) = heap.fed_class(pointer.addr())
        && let Some(index) = class.shape().index_of(pointer.addr() % UNIT_BYTES)
        // SAFETY: what feeds a bin is in a chunk that is mapped.
        && !unsafe { &*chunk::record_at(pointer.addr()) }.is_absent_at(index)
        && heap.push_untyped(class, reexposed(pointer)) == Pushed::Done
    {
        return;
    }
    // SAFETY: forwarded to the caller.
    unsafe { free_unbinned(pointer, heap) }
}

/// Frees whatever begins at `pointer` and is not at hand for a bin. Apart, since the registers it
/// saves would be saved by each free into a bin.
///
/// # Safety
/// As for [`free_untyped`].
#[inline(never)]
unsafe fn free_unbinned(pointer: *mut u8, heap: &'static Heap) {
    // SAFETY: forwarded to the caller.
    unsafe {
        if let Some(slab) = heap.owned_far(pointer.addr())
            && give_if_owned(heap, slab, pointer, None)
        {
            return;
        }
        if !pointer.is_null() {
            free_slow(heap, pointer, None);
        }
    }
}

/// The slow free of both doors, compiled once for each: `layout` is there or not at compile time.
///
/// # Safety
/// The caller gives up the block at `pointer`, if there is one. With a layout, it is the block's.
#[inline(always)]
unsafe fn free_slow(heap: &'static Heap, pointer: *mut u8, layout: Option<Layout>) {
    // SAFETY: forwarded to the caller.
    if let Some((slab, offset)) = unsafe { slab_of(pointer.addr(), layout) } {
        let is_checked = hardening::ON || layout.is_none();
        if heap.has_bins()
            && let Some(class) = layout.map_or(Some(slab.class()), binned_class)
            && ptr::eq(slab.home(), heap.inbox())
        {
            if heap.is_fed_by(slab) {
                // SAFETY: forwarded to the caller.
                return unsafe { give_to_bin(heap, slab, class, pointer, layout) };
            }
            if layout.is_none() && heap.has_binned(slab, pointer.addr()) {
                return fatal::caught("double free", pointer.addr());
            }
        }
        if slab.takes_frees_of(heap.inbox())
            && (is_checked || slab.units() == 1 || slab.has_block(offset))
            // SAFETY: blocks have at least two words.
            && !unsafe { free_list::looks_free(pointer) }
            && let Some(key) = slab.check_fast(pointer, offset, layout)
        {
            heap.remember(slab);
            count_freed(heap, layout);
            // SAFETY: the caller gives up the block.
            return unsafe { give(slab, pointer, key) };
        }
        if is_elsewhere(slab, heap)
            && (is_checked || slab.has_block(offset))
            && let Some(key) = slab.check_fast(pointer, offset, layout)
        {
            count_freed(heap, layout);
            if groups::are_used() {
                groups::sent(slab, layout.map_or(0, |layout| layout.size()));
            }
            // SAFETY: the caller gives up the block.
            return unsafe { send(heap, slab, pointer, key) };
        }
    }
    // SAFETY: forwarded to the caller.
    unsafe { free_checked(pointer, layout) }
}

/// Frees a block into the bin of its class, or into its slab if that closes meanwhile.
///
/// # Safety
/// The caller gives up the block at `pointer`, one of `slab`, which is one of `heap`, the calling
/// thread's.
unsafe fn give_to_bin(
    heap: &'static Heap,
    slab: &'static Slab,
    class: Class,
    pointer: *mut u8,
    layout: Option<Layout>,
) {
    let start = reexposed(pointer);
    if layout.is_none() && slab.has_absent() && slab.is_absent(pointer.addr()) {
        return fatal::caught("double free", pointer.addr());
    }
    let push = || match layout {
        Some(_) => heap.push_binned(class, start),
        None => heap.push_untyped(class, start),
    };
    let mut pushed = push();
    let is_full = pushed == Pushed::Full;
    let _keep = is_full.then(KeepErrno::new);
    if is_full && heap.make_room(class) {
        pushed = push();
    }
    match pushed {
        Pushed::Done => count_freed(heap, layout),
        Pushed::Twice => fatal::caught("double free", pointer.addr()),
        Pushed::Full => {
            count_freed(heap, layout);
            // SAFETY: forwarded to the caller.
            heap.free(slab, unsafe { Block::from_raw(start) });
        }
    }
    if is_full {
        start_purger();
    }
}

/// Frees through a layout count the bytes requested; the others have none.
#[inline(always)]
fn count_freed(heap: &'static Heap, layout: Option<Layout>) {
    if let Some(layout) = layout {
        heap.count_freed(layout.size());
    }
}

/// Frees what [`free_slow`] has left: large blocks, blocks of a thread without a heap, and misuse.
/// Apart, since the registers it saves would be saved by each slow free.
///
/// # Safety
/// As for [`free_slow`].
#[inline(never)]
unsafe fn free_checked(pointer: *mut u8, layout: Option<Layout>) {
    let _keep = KeepErrno::new();
    if let Some(layout) = layout {
        thread::count(Requested::free(layout.size()));
    }
    let Some(start) = NonNull::new(pointer) else { return };
    let is_small = match layout {
        Some(layout) => matches!(route(layout), Route::Small(_)),
        None => chunk::index::contains(start.addr().get()),
    };
    if is_small {
        // SAFETY: forwarded to the caller.
        unsafe { free_block(start, layout) };
    } else {
        match if layout.is_none() { hardening::zero_size::free(start) } else { None } {
            Some(true) => {}
            Some(false) => fatal::caught("double free", start.addr().get()),
            None => free_large(start, layout),
        }
    }
    start_purger();
}

/// The slab that `address` lies in, and the address's offset from its first block. None where it is
/// in no slab, and where no block begins there, as far as that is checked: a layout is believed
/// unless everything is checked, and then [`Slab::has_block`] is still to be asked.
///
/// # Safety
/// With a layout of a small block, the address lies in a slab, whose chunk is mapped.
#[inline(always)]
unsafe fn slab_of(address: usize, layout: Option<Layout>) -> Option<(&'static Slab, usize)> {
    if let Some(layout) = layout {
        if matches!(route(layout), Route::Large) {
            return None;
        }
        if !hardening::ON {
            if chunk::is_header(address) {
                return None;
            }
            // SAFETY: forwarded to the caller: a slab's record is where the address is in no
            // header.
            return Some(unsafe { &*chunk::record_at(address) }.around(address));
        }
    }
    slab_with_block(address)
}

/// The slab that has a block at `address`, used or free.
pub(crate) fn slab_of_block(address: usize) -> Option<&'static Slab> {
    Some(slab_with_block(address)?.0)
}

/// The slab that has a block at `address`, used or free, and its offset from the first block.
fn slab_with_block(address: usize) -> Option<(&'static Slab, usize)> {
    if !chunk::index::contains(address) || chunk::is_header(address) {
        return None;
    }
    // SAFETY: the chunk is ours, and so mapped, and the address is not in its header.
    let (slab, offset) = unsafe { &*chunk::record_at(address) }.around(address);
    if slab.home().is_null() || !slab.has_block(offset) { None } else { Some((slab, offset)) }
}

/// Takes back the block at `pointer` if it is one of `slab`, an entry of the owned-slab cache of
/// `heap`, the calling thread's, and nothing about it is suspicious. Whether it has.
///
/// # Safety
/// The caller gives up the block, if there is one. With a layout, it is the block's.
#[inline(always)]
pub(super) unsafe fn give_if_owned(
    heap: &'static Heap,
    slab: &'static Slab,
    pointer: *mut u8,
    layout: Option<Layout>,
) -> bool {
    let address = pointer.addr();
    let is_checked = hardening::ON || layout.is_none();
    if slab.begins_around(address)
        && (!is_checked || slab.has_block_in_first_unit(address))
        // SAFETY: blocks have at least two words.
        && !unsafe { free_list::looks_free(pointer) }
        && let Some(key) = slab.check_fast(pointer, address % UNIT_BYTES, layout)
    {
        count_freed(heap, layout);
        // SAFETY: the caller gives up the block.
        unsafe { give(slab, pointer, key) };
        return true;
    }
    false
}

/// Takes back a block of a slab of the calling thread's heap that
/// [is served](Slab::takes_frees_of).
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
    if slab.push_told(block) {
        settle(slab);
    }
}

/// The block at `pointer`, with nothing in it.
///
/// # Safety
/// The caller gives up the block at `pointer`, which has so many bytes as
/// `Slab::cleared_block_bytes` says; `key` is its own.
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
fn settle(slab: &'static Slab) {
    let _keep = KeepErrno::new();
    thread::heap().settle(slab, slab.occupancy());
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
/// The caller gives up the block at `pointer`, which the slab has; `key` is its own, and `heap` the
/// calling thread's.
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
    let requested = layout.map_or(0, |layout| layout.size());
    #[cfg(feature = "profile")]
    if sampling::is_home(slab.home()) {
        return sampling::free(slab, block, requested);
    }
    let own = thread::own_heap();
    if let Some(heap) = own
        && ptr::eq(slab.home(), heap.inbox())
    {
        return heap.free(slab, block);
    }
    if groups::are_used() {
        groups::sent(slab, requested);
    }
    match own {
        // SAFETY: as above.
        Some(heap) => unsafe { heap.send(slab, block) },
        // SAFETY: as above.
        None => unsafe { shared::free(slab, block) },
    }
}

fn free_large(start: NonNull<u8>, layout: Option<Layout>) {
    #[cfg(feature = "profile")]
    sampling::large_freed(start);
    if !groups::are_used() {
        return large::free(start);
    }
    groups::freed_large(start, layout.map_or(0, |layout| layout.size()));
    groups::free_large(start);
}
