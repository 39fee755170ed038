//! The door for callers who do not know the layout: C's. The preload library stands on it.
//!
//! Where a block lies is found from its address alone, and every free is checked before anything is
//! read through the pointer: it must begin a block that is in use. Blocks are aligned to 16 bytes
//! at least. Frees preserve `errno`; an allocation leaves what the kernel's last answer made of it.

use core::alloc::Layout;
use core::ffi::c_char;
use core::ptr::{self, NonNull};

use super::start;
use crate::base::config::INLINE_LIMIT;
use crate::block::hardening::{self, CANARY_BYTES};
use crate::block::size_class::Class;
use crate::doors::free;
use crate::doors::resize;
use crate::doors::rust;
use crate::heap::thread;
use crate::memory::chunk::index;
use crate::memory::large;
use crate::memory::slab::Slab;
use crate::os::fatal;
use crate::os::watch;
use crate::policy::requested::Requested;

/// The alignment of every block.
pub const MIN_ALIGN: usize = 16;

/// Sizes up to this are looked up in [`CLASSES_BY_STEP`].
const AT_HAND_LIMIT: usize = INLINE_LIMIT - MIN_ALIGN - CANARY_BYTES;

/// How many multiples of [`MIN_ALIGN`] are looked up.
const STEPS: usize = INLINE_LIMIT / MIN_ALIGN;

/// The class of each multiple of [`MIN_ALIGN`].
static CLASSES_BY_STEP: [Class; STEPS] = classes_by_step();

#[expect(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "evaluated at compile time")]
const fn classes_by_step() -> [Class; STEPS] {
    let mut classes = [Class::FIRST; STEPS];
    let mut step = 0;
    while step < classes.len() {
        classes[step] = Class::of_inline(step * MIN_ALIGN);
        step += 1;
    }
    classes
}

/// The class of `size` bytes, at most [`AT_HAND_LIMIT`].
#[inline(always)]
fn class_at_hand(size: usize) -> Class {
    let step = size.wrapping_add(CANARY_BYTES + MIN_ALIGN - 1) / MIN_ALIGN;
    // SAFETY: size and canary, rounded up, are below INLINE_LIMIT, a multiple of MIN_ALIGN.
    unsafe { *CLASSES_BY_STEP.get_unchecked(step) }
}

/// A block of at least `size` bytes, aligned to [`MIN_ALIGN`], if the calling thread has one
/// at hand: the fast half of [`allocate`].
#[inline(always)]
#[must_use]
pub fn at_hand(size: usize) -> Option<NonNull<u8>> {
    if size > AT_HAND_LIMIT || (hardening::ON && size == 0) {
        return None;
    }
    let class = class_at_hand(size);
    let heap = thread::heap();
    let block = heap.pop(class)?;
    heap.count_untyped();
    let start = hardening::hand_out(block, class, exactly(size));
    watch::open(start.as_ptr(), size);
    Some(start)
}

/// As [`at_hand`], if the calling thread has one in a bin.
#[inline]
#[must_use]
pub fn at_hand_in_bin(size: usize) -> Option<NonNull<u8>> {
    if size > AT_HAND_LIMIT {
        return None;
    }
    let heap = thread::heap();
    let start = heap.pop_untyped(class_at_hand(size))?;
    heap.count_untyped();
    watch::open(start.as_ptr(), size);
    Some(start)
}

/// A block of at least `size` bytes, aligned to [`MIN_ALIGN`]; null where there is no memory.
#[inline(always)]
#[must_use]
pub fn allocate(size: usize) -> *mut u8 {
    match at_hand(size).or_else(|| at_hand_in_bin(size)) {
        Some(block) => block.as_ptr(),
        None => allocate_aligned(size, MIN_ALIGN),
    }
}

/// As [`allocate`], aligned to `align` as well, a power of two; null also where it is not one.
#[inline(never)]
#[must_use]
pub fn allocate_aligned(size: usize, align: usize) -> *mut u8 {
    start::with_defaults();
    if let Some(nothing) = nothing(size, align) {
        return nothing.as_ptr();
    }
    match layout(size, align) {
        Some(layout) => count_if_made(rust::alloc_slow(layout)),
        None => ptr::null_mut(),
    }
}

/// As [`allocate_aligned`], all zero.
#[inline(never)]
#[must_use]
pub fn allocate_zeroed(size: usize, align: usize) -> *mut u8 {
    start::with_defaults();
    if let Some(nothing) = nothing(size, align) {
        return nothing.as_ptr();
    }
    match layout(size, align) {
        Some(layout) => count_if_made(rust::alloc_zeroed_slow(layout)),
        None => ptr::null_mut(),
    }
}

/// Counts an allocation, unless it has failed.
pub(super) fn count_if_made(pointer: *mut u8) -> *mut u8 {
    if !pointer.is_null() {
        thread::count(Requested { allocations: 1, ..Requested::NONE });
    }
    pointer
}

/// A block of no bytes, if that is asked for and they are apart.
fn nothing(size: usize, align: usize) -> Option<NonNull<u8>> {
    if size == 0 && align <= MIN_ALIGN { hardening::zero_size::allocate() } else { None }
}

pub(super) fn layout(size: usize, align: usize) -> Option<Layout> {
    if !align.is_power_of_two() {
        return None;
    }
    let align = align.max(MIN_ALIGN);
    let size = if hardening::ON { size } else { size.checked_next_multiple_of(MIN_ALIGN)?.max(MIN_ALIGN) };
    Layout::from_size_align(size, align).ok()
}

/// `size` bytes, at most [`AT_HAND_LIMIT`], aligned to [`MIN_ALIGN`].
#[inline(always)]
const fn exactly(size: usize) -> Layout {
    // SAFETY: the alignment is a power of two, and the size far from the largest.
    unsafe { Layout::from_size_align_unchecked(size, MIN_ALIGN) }
}

/// Frees the block at `pointer`; null is ignored. Anything that is not the beginning of a block
/// in use is reported and ends the process.
///
/// # Safety
/// The caller gives up the block, if there is one.
#[inline(always)]
pub unsafe fn free(pointer: *mut u8) {
    #[cfg(any(feature = "asan", feature = "valgrind"))]
    if let Some(home) = NonNull::new(pointer).and_then(Home::of) {
        watch::close(pointer, home.bytes());
    }
    let heap = thread::heap();
    // SAFETY: forwarded to the caller.
    unsafe {
        if !free::give_if_owned(heap, heap.owned(pointer.addr()), pointer, None) {
            free::free_untyped(pointer, heap);
        }
    }
}

/// Where a block lies.
pub(super) enum Home {
    Slab(&'static Slab),
    Large {
        bytes: usize,
    },
    /// With the blocks of no bytes, where they are apart.
    Nothing,
}

impl Home {
    /// None where no block begins at `start`.
    pub(super) fn of(start: NonNull<u8>) -> Option<Self> {
        let address = start.addr().get();
        if index::contains(address) {
            return free::slab_of_block(address).map(Self::Slab);
        }
        if hardening::zero_size::is_used(start) {
            return Some(Self::Nothing);
        }
        large::length(start).map(|bytes| Self::Large { bytes })
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Slab(slab) => slab.block_bytes().wrapping_sub(CANARY_BYTES),
            Self::Large { bytes } => *bytes,
            Self::Nothing => 0,
        }
    }

    /// Bytes of the block at `start` that its caller may use.
    pub(super) fn usable(&self, start: NonNull<u8>) -> usize {
        match self {
            Self::Slab(slab) => hardening::usable(start.as_ptr(), slab.block_bytes()),
            Self::Large { bytes } => *bytes,
            Self::Nothing => 0,
        }
    }

    /// Notes that the block at `start` stays where it is, for `layout`.
    pub(super) fn resize(&self, start: NonNull<u8>, layout: Layout) {
        if let Self::Slab(slab) = self {
            hardening::seal_for(start, slab.class(), layout);
        }
    }

    /// What is wrong with the block at `start`, where that is looked at.
    pub(super) fn fault(&self, start: NonNull<u8>) -> Option<&'static str> {
        let Self::Slab(slab) = self else { return None };
        slab.diagnose(start.as_ptr(), None)
    }

    /// Whether the block at `start` is known to be free: by the calling thread only, of blocks
    /// in its own slabs.
    pub(super) fn is_known_free(&self, start: NonNull<u8>) -> bool {
        let Self::Slab(slab) = self else { return false };
        let (heap, address) = (thread::heap(), start.addr().get());
        heap.has_binned(slab, address) || heap.knows_free(slab, address)
    }
}

/// Bytes that the block at `pointer` has room for; zero for null. A pointer that begins no
/// block is reported and ends the process.
///
/// # Safety
/// If a block begins at `pointer`, nobody frees it meanwhile: what is read could go back to the
/// kernel.
#[must_use]
pub unsafe fn usable_size(pointer: *const u8) -> usize {
    let Some(start) = NonNull::new(pointer.cast_mut()) else { return 0 };
    match Home::of(start) {
        Some(home) => {
            if let Some(fault) = home.fault(start) {
                fatal::caught(fault, start.addr().get());
                return 0;
            }
            let bytes = home.usable(start);
            // Who asks may use all of it.
            watch::open(start.as_ptr(), bytes);
            bytes
        }
        None => {
            fatal::caught("size of an address that is no allocation", start.addr().get());
            0
        }
    }
}

/// Resizes the block at `pointer` to at least `size` bytes, more than zero; contents are kept
/// up to the shorter length, alignment beyond [`MIN_ALIGN`] is not. Null where there is no
/// memory: the old block is then as before. A null pointer is an allocation. A pointer that
/// begins no block in use is reported and ends the process.
///
/// # Safety
/// The caller gives up the old block, if the answer is not null.
#[must_use]
pub unsafe fn reallocate(pointer: *mut u8, size: usize) -> *mut u8 {
    match NonNull::new(pointer) {
        // SAFETY: forwarded to the caller.
        Some(start) => unsafe { resize::without_layout(start, size) },
        None => allocate(size),
    }
}

/// Puts the default options in force, and what `environment` says of `FREESTONE_` variables: for
/// constructors that run before the C library knows its environment. Without effect once a block
/// was handed out after that.
///
/// # Safety
/// `environment` is null or a null-terminated array of C strings that stay as they are.
pub unsafe fn start(environment: *const *const c_char) {
    // SAFETY: forwarded to the caller.
    unsafe { start::with_environment(environment) };
}
