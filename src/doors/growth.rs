//! Room for small blocks that grow in small steps.
//!
//! A block that outgrows its class is copied. Classes are an eighth apart, so a block that grows by a few
//! bytes a time would be copied eight times a doubling. One that has grown by less than a quarter will
//! grow again: it gets a quarter more than was requested, and stays where it is until that is used up.

use core::alloc::Layout;
use core::ptr::NonNull;

use crate::base::config::{LINE_BYTES, MAX_BLOCK_BYTES};
use crate::block::hardening::{self, route};
use crate::block::size_class::{Class, Route};
use crate::doors::free::slab_of_block;
use crate::doors::rust::{refill_once, retry_after_release};
use crate::memory::large;
use crate::os::watch;

/// Shorter blocks are copied in the time that the other steps of a resize take.
const LEAST_BYTES: usize = 4 << 10;

/// What a block has grown by, and gets besides, as a part of it.
const ROOM: usize = 4;

/// Whether room is given: not where bytes that were not requested are guarded.
const ON: bool = !(hardening::ON || cfg!(feature = "asan") || cfg!(feature = "valgrind"));

/// What a growing block is to be moved to.
pub(crate) struct Roomy {
    /// The class with room, and the one without, where there is no memory for that.
    classes: [Class; 2],
}

impl Roomy {
    /// For a block of `had` bytes that grows to `new`. None where it gets no room.
    pub(crate) fn of(had: usize, new: Layout) -> Option<Self> {
        let grows_little = new.size() > had && new.size().wrapping_sub(had) < had / ROOM;
        // Classes with room are multiples of every smaller alignment.
        if !ON || had < LEAST_BYTES || !grows_little || new.align() > LINE_BYTES {
            return None;
        }
        let Route::Small(class) = route(new) else { return None };
        let roomy = new.size().wrapping_add(new.size() / ROOM).min(MAX_BLOCK_BYTES);
        Some(Self { classes: [Class::of(roomy), class] })
    }

    /// A block for `new`.
    pub(crate) fn allocate(&self, new: Layout) -> Option<NonNull<u8>> {
        let [roomy, class] = self.classes;
        large::purge_due();
        let found = retry_after_release(0, || refill_once(roomy).or_else(|| refill_once(class)))?;
        let start = hardening::hand_out(found.block, class, new);
        watch::open(start.as_ptr(), new.size());
        Some(start)
    }
}

/// Whether the small block at `start`, of `had` bytes by its layout, has room for `size`, more than that.
pub(crate) fn has_room(start: *mut u8, had: usize, size: usize) -> bool {
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
        assert_eq!(room(64 << 10, (64 << 10) + 8, 8), Some(88 << 10));
        assert_eq!(room(64 << 10, 128 << 10, 8), None, "what doubles is copied seldom");
        assert_eq!(room(64 << 10, 60 << 10, 8), None, "what shrinks");
        assert_eq!(room(1000, 1010, 8), None, "too short");
        assert_eq!(room(64 << 10, (64 << 10) + 8, 4096), None, "an alignment that not every class has");
        assert_eq!(room(MAX_BLOCK_BYTES - 100, MAX_BLOCK_BYTES, 8), Some(MAX_BLOCK_BYTES));
        assert_eq!(room(MAX_BLOCK_BYTES, MAX_BLOCK_BYTES + 1, 8), None, "a range has room of its own");
    }
}
