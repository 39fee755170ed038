//! Resizing a block, whatever the door.
//!
//! Both doors go the same way: a block that still suits stays; a large one is remapped; any other
//! is copied. With a layout "suits" means the same size class, since a block is freed with the
//! layout that it was resized to. Without one it means more than half full, since the block's
//! address alone says where it lies.
//!
//! Small blocks that grow in small steps get room. A block that outgrows its class is copied.
//! Classes are an eighth apart, so a block that grows by a few bytes a time would be copied eight
//! times a doubling. One that has grown by less than a quarter will grow again: it gets a quarter
//! more than was requested, or three quarters if it is long, and stays where it is until that is
//! used up.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};

use super::request::Request;
use crate::base::config::{LINE_BYTES, MAX_BLOCK_BYTES};
use crate::block::hardening::{self, route};
use crate::block::size_class::{Class, Route};
use crate::doors::free::slab_of_block;
use crate::doors::freestone::Freestone;
use crate::doors::rust::{count_if_made, or_null, refill_once, retry_after_release};
use crate::doors::untyped::{self, Home, MIN_ALIGN};
use crate::heap::groups;
#[cfg(feature = "profile")]
use crate::heap::sampling;
use crate::heap::thread;
use crate::memory::large;
use crate::os::fatal;
use crate::os::watch;
use crate::policy::requested::Requested;

/// The fault of a block that is to be resized, where blocks are checked.
fn fault_before_resize(pointer: *mut u8, layout: Layout) -> Option<&'static str> {
    if !hardening::ON || is_large(layout) {
        return None;
    }
    match slab_of_block(pointer.addr()) {
        Some(slab) => slab.diagnose(pointer, Some(layout)),
        None => Some("realloc of an address that is no allocation"),
    }
}

/// Resizes the block at `pointer` that has `layout`: `GlobalAlloc::realloc`.
///
/// # Safety
/// As there.
pub(super) unsafe fn with_layout(pointer: *mut u8, request: Request, new_size: usize) -> *mut u8 {
    let layout = request.layout();
    // SAFETY: the caller keeps to `realloc`'s contract: the size, rounded up, is not too large.
    let new = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
    if let Some(fault) = fault_before_resize(pointer, layout) {
        fatal::caught(fault, pointer.addr());
        return ptr::null_mut();
    }
    match (route(layout), route(new)) {
        (Route::Small(class), Route::Small(wanted)) if class == wanted => {
            if let Some(start) = NonNull::new(pointer) {
                hardening::seal_for(start, class, new);
            }
            count_resized(pointer, layout, new_size);
            watch::open(pointer, new_size);
            return pointer;
        }
        (Route::Small(_), Route::Small(_)) if has_room(pointer, layout.size(), new_size) => {
            count_resized(pointer, layout, new_size);
            return pointer;
        }
        (Route::Large, Route::Large) => {
            let Some(start) = NonNull::new(pointer) else { return pointer };
            let moved = large_block(start, new_size, layout.align());
            if let Some(moved) = moved {
                count_resized(moved.as_ptr(), layout, new_size);
            }
            return or_null(moved);
        }
        _ => {}
    }
    let fresh = match Roomy::of(layout.size(), new) {
        Some(roomy) => count_if_made(or_null(roomy.allocate(new)), new),
        // SAFETY: `new` has a size, as the caller of `realloc` promises.
        None => unsafe { Freestone::new().alloc(new) },
    };
    if !fresh.is_null() {
        // SAFETY: both blocks are live, distinct, and at least this long.
        unsafe { ptr::copy_nonoverlapping(pointer, fresh, layout.size().min(new_size)) };
        // SAFETY: forwarded to the caller.
        unsafe { Freestone::new().dealloc(pointer, layout) };
    }
    fresh
}

/// Counts the requested bytes of the block at `pointer`, which had `layout` and stays its owner's.
fn count_resized(pointer: *mut u8, layout: Layout, new_size: usize) {
    let more = Requested::resized(layout.size(), new_size);
    thread::count(more);
    if groups::are_used()
        && let Some(start) = NonNull::new(pointer)
    {
        groups::count_resized(start, slab_of_block(pointer.addr()), more);
    }
}

/// Resizes the block at `start`, of which no layout is known: `untyped::reallocate`.
///
/// # Safety
/// As there.
pub(super) unsafe fn without_layout(start: NonNull<u8>, size: usize) -> *mut u8 {
    let Some(home) = Home::of(start).filter(|home| !home.is_known_free(start)) else {
        fatal::caught("realloc of an address that is no allocation", start.addr().get());
        return ptr::null_mut();
    };
    if let Some(fault) = home.fault(start) {
        fatal::caught(fault, start.addr().get());
        return ptr::null_mut();
    }
    let Some(new) = untyped::layout(size, MIN_ALIGN) else { return ptr::null_mut() };
    // Large or not is a matter of where the block is: an over-aligned small one may be large.
    if matches!(home, Home::Large { .. }) && is_large(new) {
        return or_null(large_block(start, new.size(), MIN_ALIGN));
    }
    let have = home.bytes();
    watch::open(start.as_ptr(), have);
    let fits = new.size() <= have;
    if fits && new.size() > have / 2 {
        home.resize(start, new);
        return start.as_ptr();
    }
    let fresh = match Roomy::of(have, new) {
        Some(roomy) => untyped::count_if_made(or_null(roomy.allocate(new))),
        None => untyped::allocate(size),
    };
    if fresh.is_null() {
        // A block that shrinks can always stay.
        if !fits {
            return fresh;
        }
        home.resize(start, new);
        return start.as_ptr();
    }
    // SAFETY: both blocks are live, distinct, and at least this long.
    unsafe { ptr::copy_nonoverlapping(start.as_ptr(), fresh, home.usable(start).min(size)) };
    // SAFETY: forwarded to the caller.
    unsafe { untyped::free(start.as_ptr()) };
    fresh
}

/// Whether a layout's block is a mapping of its own.
fn is_large(layout: Layout) -> bool {
    route(layout) == Route::Large
}

/// Resizes a large allocation; its layout's alignment is `align`.
fn large_block(start: NonNull<u8>, size: usize, align: usize) -> Option<NonNull<u8>> {
    #[cfg(feature = "profile")]
    let sample = sampling::take(start);
    let more = size.saturating_sub(large::length(start).unwrap_or(0));
    let resized = retry_after_release(more, || groups::reallocate_large(start, size, align));
    #[cfg(feature = "profile")]
    match resized {
        // As a free and an allocation.
        Some(resized) => sampling::large_made(resized, size),
        None => sampling::put_back(sample),
    }
    resized
}

/// Shorter blocks are copied in the time that the other steps of a resize take.
const LEAST_BYTES: usize = 4 << 10;

/// What a block has grown by, and gets besides, as a part of it.
const ROOM: usize = 4;

/// Blocks of this length and more get three quarters. Each is a slab of its own, whose pages are
/// resident as far as they are used: the room is address space. With more room a block would be
/// less than half full, and no longer suit.
const LONG_BYTES: usize = 64 << 10;

/// Whether room is given: not where bytes that were not requested are guarded.
const ON: bool = !(hardening::ON || cfg!(feature = "asan") || cfg!(feature = "valgrind"));

/// What a growing block is to be moved to.
struct Roomy {
    /// The class with room, and the one without, where there is no memory for that.
    classes: [Class; 2],
}

impl Roomy {
    /// For a block of `had` bytes that grows to `new`. None where it gets no room.
    fn of(had: usize, new: Layout) -> Option<Self> {
        let grows_little = new.size() > had && new.size().wrapping_sub(had) < had / ROOM;
        // Classes with room are multiples of every smaller alignment.
        if !ON || had < LEAST_BYTES || !grows_little || new.align() > LINE_BYTES {
            return None;
        }
        let Route::Small(class) = route(new) else { return None };
        let quarter = new.size() / ROOM;
        let room = if new.size() < LONG_BYTES { quarter } else { quarter.wrapping_mul(3) };
        let roomy = new.size().wrapping_add(room).min(MAX_BLOCK_BYTES);
        Some(Self { classes: [Class::of(roomy), class] })
    }

    /// A block for `new`.
    fn allocate(&self, new: Layout) -> Option<NonNull<u8>> {
        let [roomy, class] = self.classes;
        large::purge_due();
        let found = retry_after_release(0, || refill_once(roomy).or_else(|| refill_once(class)))?;
        let start = hardening::hand_out(found.block, class, new);
        watch::open(start.as_ptr(), new.size());
        Some(start)
    }
}

/// Whether the small block at `start`, of `had` bytes by its layout, has room for `size`, more than
/// that.
fn has_room(start: *mut u8, had: usize, size: usize) -> bool {
    ON && had >= LEAST_BYTES
        && size > had
        && slab_of_block(start.addr()).is_some_and(|slab| slab.block_bytes() >= size)
}

#[cfg(all(test, not(any(feature = "secure", feature = "asan", feature = "valgrind"))))]
mod tests {
    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).expect("a valid layout")
    }

    #[test]
    fn room_is_for_what_grows_in_small_steps() {
        let room = |had, size, align| Some(Roomy::of(had, layout(size, align))?.classes[0].block_bytes());
        assert_eq!(room(32 << 10, (32 << 10) + 8, 8), Some(44 << 10));
        assert_eq!(room(64 << 10, (64 << 10) + 8, 8), Some(120 << 10));
        assert_eq!(room(64 << 10, 128 << 10, 8), None, "what doubles is copied seldom");
        assert_eq!(room(64 << 10, 60 << 10, 8), None, "what shrinks");
        assert_eq!(room(1000, 1010, 8), None, "too short");
        assert_eq!(room(64 << 10, (64 << 10) + 8, 4096), None, "an alignment that not every class has");
        assert_eq!(room(MAX_BLOCK_BYTES - 100, MAX_BLOCK_BYTES, 8), Some(MAX_BLOCK_BYTES));
        assert_eq!(room(MAX_BLOCK_BYTES, MAX_BLOCK_BYTES + 1, 8), None, "a range has room of its own");
    }
}
