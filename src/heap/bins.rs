//! Bins: the blocks of each short class that a thread freed last, as an array of pointers.
//!
//! A free puts its block into the bin, and the next allocation of the class takes it from there: neither touches the
//! block or its slab's lists. On a large live set that saves the cache misses of both. For its slab a block in a bin
//! is a used one.
//!
//! A bin that is full or empty is passed by: then a free goes into the slab's list, and an allocation takes from the
//! current slab. Nothing is moved between bins and lists in batches. Programs that free as often as they allocate
//! reach either end seldom. Programs that fill and empty their memory in turns pay for one more comparison.
//!
//! A bin holds blocks of its heap's own slabs only. A block of another thread's slab would become this thread's next
//! block while its neighbours are still written by the other thread (false sharing, passively brought about).
//!
//! State: an array a class, made on the class's second need and kept with the heap. The owner alone touches it, but for
//! the number of blocks, which statistics read.

use core::cell::Cell;
use core::ptr::{self, NonNull};

use static_assertions::const_assert;

use crate::base::address::align_down;
use crate::base::atomic::{AtomicPtr, Ordering};
use crate::base::config::{BIN_STEP, UNIT_BYTES};
use crate::block::hardening;
use crate::block::size_class::{CLASSES, Class};
use crate::memory::records;

/// Whether there are bins. In the `secure` build a freed block waits in quarantine instead.
pub(super) const ON: bool = !hardening::ON;

/// A place in a bin's array. The one below the first block's is always empty.
type Entry = Cell<Option<NonNull<u8>>>;

const PLACE_BYTES: usize = size_of::<Entry>();

/// The array of a bin that has none: just the place below the first block's.
struct NoEntries(Entry);

// SAFETY: nobody writes to it.
unsafe impl Sync for NoEntries {}

static NO_ENTRIES: NoEntries = NoEntries(Cell::new(None));

/// Where the blocks of an array without places would begin.
const fn no_blocks() -> *mut Entry {
    (&raw const NO_ENTRIES.0).wrapping_add(1).cast_mut()
}

/// The blocks of one class.
#[repr(C)]
struct Bin {
    /// Behind the last block.
    top: AtomicPtr<Entry>,
    /// Behind the last place.
    limit: Cell<*const Entry>,
}

const_assert!(size_of::<Bin>() == BIN_STEP);

/// What became of a block that was to be put into a bin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    Done,
    /// There is no room for it.
    NoRoom,
    /// It is there already.
    Twice,
}

/// A bin for each class. Those of long classes have no places.
#[repr(C)]
pub(super) struct Bins {
    bins: [Bin; CLASSES],
    /// The first place of each bin.
    floors: [AtomicPtr<Entry>; CLASSES],
}

impl Bins {
    pub(super) const fn new() -> Self {
        Self {
            bins: [const { Bin { top: AtomicPtr::new(no_blocks()), limit: Cell::new(no_blocks()) } };
                CLASSES],
            floors: [const { AtomicPtr::new(no_blocks()) }; CLASSES],
        }
    }

    /// Distance of the bin of `class` from the first, in bytes.
    #[inline(always)]
    pub(super) const fn offset(class: Class) -> u32 {
        class.index().wrapping_mul(BIN_STEP) as u32
    }

    #[inline(always)]
    fn of(&self, class: Class) -> &Bin {
        // SAFETY: the offset is a class's.
        unsafe { self.at(Self::offset(class)) }
    }

    /// The bin at `offset` from the first.
    ///
    /// # Safety
    /// The offset is a class's.
    #[inline(always)]
    unsafe fn at(&self, offset: u32) -> &Bin {
        // SAFETY: forwarded to the caller.
        unsafe { &*(&raw const self.bins).byte_add(offset as usize).cast() }
    }

    /// Takes the block that was put last into the bin of `class`.
    #[inline(always)]
    pub(super) fn pop(&self, class: Class) -> Option<NonNull<u8>> {
        let bin = self.of(class);
        let last = bin.top.load(Ordering::Relaxed).wrapping_sub(1);
        // SAFETY: `top` is above the place below the first block's, which is empty.
        let block = unsafe { (*last).get() }?;
        bin.top.store(last, Ordering::Relaxed);
        Some(block)
    }

    /// Undoes a [`pop`](Self::pop).
    #[cfg(feature = "profile")]
    pub(super) fn put_back(&self, class: Class, start: NonNull<u8>) {
        let bin = self.of(class);
        let top = bin.top.load(Ordering::Relaxed);
        // SAFETY: the block was in this place.
        unsafe { (*top).set(Some(start)) };
        bin.top.store(top.wrapping_add(1), Ordering::Relaxed);
    }

    /// Puts the block at `start` into the bin at `offset` from the first, as its slab says. Looks for the block
    /// there first: at the one that was put there last, and in debug builds at all.
    ///
    /// # Safety
    /// The offset is a class's.
    #[inline(always)]
    pub(super) unsafe fn push<const IS_CHECKED: bool>(&self, offset: u32, start: NonNull<u8>) -> Put {
        // SAFETY: forwarded to the caller.
        let bin = unsafe { self.at(offset) };
        let top = bin.top.load(Ordering::Relaxed);
        if cfg!(debug_assertions) && bin.contains(start) {
            return Put::Twice;
        }
        if ptr::eq(top, bin.limit.get()) {
            return Put::NoRoom;
        }
        // SAFETY: below `top` is a place, if only the one below the first.
        if IS_CHECKED && unsafe { (*top.wrapping_sub(1)).get() } == Some(start) {
            return Put::Twice;
        }
        // SAFETY: below `limit` is a place.
        unsafe { (*top).set(Some(start)) };
        bin.top.store(top.wrapping_add(1), Ordering::Relaxed);
        Put::Done
    }

    /// Takes the blocks of the unit that begins at `base` out of the bin of `class`, if there are `wanted` of them.
    pub(super) fn take_from(
        &self,
        class: Class,
        base: usize,
        wanted: usize,
        mut each: impl FnMut(NonNull<u8>),
    ) {
        let bin = self.of(class);
        let (floor, top) = (self.floor(class), bin.top.load(Ordering::Relaxed));
        let is_of_unit = |block: &NonNull<u8>| align_down(block.addr().get(), UNIT_BYTES) == base;
        let mut next = floor;
        let mut count = 0_usize;
        while !ptr::eq(next, top) {
            // SAFETY: between floor and top are blocks.
            count =
                count.wrapping_add(usize::from(unsafe { (*next).get() }.as_ref().is_some_and(is_of_unit)));
            next = next.wrapping_add(1);
        }
        if count != wanted {
            return;
        }
        let (mut next, mut kept) = (floor, floor);
        while !ptr::eq(next, top) {
            // SAFETY: as above.
            match unsafe { (*next).get() } {
                Some(block) if is_of_unit(&block) => each(block),
                other => {
                    // SAFETY: `kept` is not above `next`.
                    unsafe { (*kept).set(other) };
                    kept = kept.wrapping_add(1);
                }
            }
            next = next.wrapping_add(1);
        }
        bin.top.store(kept, Ordering::Relaxed);
    }

    fn floor(&self, class: Class) -> *mut Entry {
        self.floors.get(class.index()).map_or(no_blocks(), |floor| floor.load(Ordering::Relaxed))
    }

    /// Gives the bin of `class` its array, if it has none. Without memory it stays without.
    pub(super) fn open(&self, class: Class) {
        let bin = self.of(class);
        let places = class.binned();
        if !ON || places == 0 || !ptr::eq(bin.limit.get(), no_blocks()) {
            return;
        }
        let Some(array) = records::take(places.wrapping_add(1).wrapping_mul(PLACE_BYTES)) else {
            return;
        };
        let floor = array.cast::<Entry>().as_ptr().wrapping_add(1);
        if let Some(entry) = self.floors.get(class.index()) {
            entry.store(floor, Ordering::Relaxed);
        }
        bin.top.store(floor, Ordering::Relaxed);
        bin.limit.set(floor.wrapping_add(places));
    }

    /// Blocks in the bin of each class, by its index. Any thread may ask.
    pub(super) fn blocks(&self) -> impl Iterator<Item = usize> {
        self.bins.iter().zip(&self.floors).map(|(bin, floor)| {
            let bytes =
                bin.top.load(Ordering::Relaxed).addr().saturating_sub(floor.load(Ordering::Relaxed).addr());
            bytes / PLACE_BYTES
        })
    }

    /// Whether the bin of `class` has the block at `address`. For the owner.
    pub(super) fn contains(&self, class: Class, address: usize) -> bool {
        NonNull::new(ptr::without_provenance_mut(address)).is_some_and(|start| self.of(class).contains(start))
    }
}

impl Bin {
    fn contains(&self, start: NonNull<u8>) -> bool {
        let mut next = self.top.load(Ordering::Relaxed).wrapping_sub(1);
        // SAFETY: below `top` are blocks, and below those an empty place.
        while let Some(block) = unsafe { (*next).get() } {
            if block.addr() == start.addr() {
                return true;
            }
            next = next.wrapping_sub(1);
        }
        false
    }
}
