//! Bins: arrays of the blocks that a thread freed last, for classes whose frees are scattered.
//!
//! In a program that keeps a large set of blocks and replaces any of them, each free and each
//! allocation through a slab's list touches another cold slab and another cold block. Through a bin
//! neither is touched: the free pushes a pointer, and the next allocation of the class pops it. For
//! its slab a block in a bin is a used one.
//!
//! A program that builds things up and takes them down gains nothing: it fills the bin and empties
//! it, and each block passes through both. So a class has a bin only while its frees are seen to be
//! scattered. The bin *opens* when several slabs in a row had few free blocks when they became
//! current. It *closes* when it was filled or emptied many times in a row.
//!
//! Half of a full bin goes to the slabs, and half of a bin is taken from the current slab when it
//! is empty.
//!
//! A bin holds blocks of its heap's own slabs only. A block of another thread's slab would become
//! this thread's next one while the other thread still writes its neighbours (passive false
//! sharing). Nor does it hold blocks of slabs with few used ones: it could have all of them, and
//! would keep the slab from falling empty. The slabs whose blocks go into bins *feed* them, see
//! `feeding`; `binned_units` has those at hand.
//!
//! State: an array a class, made when its bin is first opened and kept with the heap. The owner
//! alone touches it. Statistics read the number of blocks.

use core::cell::Cell;
use core::iter;
use core::ptr::{self, NonNull};

use static_assertions::const_assert;

use crate::base::address::align_down;
use crate::base::atomic::{AtomicPtr, Ordering};
use crate::base::config::{BIN_BLOCKS, BIN_RUN, BIN_SCATTERED, BIN_SCATTERED_PART, UNIT_BYTES};
use crate::block::hardening;
use crate::block::size_class::{CLASS_ALIGN, Class, INLINE_CLASSES};
use crate::memory::records;
use crate::memory::slab::Slab;

/// Whether there are bins. In the `secure` build a freed block waits in quarantine instead.
pub(crate) const ON: bool = !hardening::ON;

/// An entry of a bin's array. The one below the first block's is always null.
type Entry = AtomicPtr<u8>;

const ENTRY_BYTES: usize = size_of::<Entry>();

/// The entry below the first block's, of closed bins. Nobody writes to it.
static BELOW_NONE: Entry = Entry::new(ptr::null_mut());

/// Where the blocks of a closed bin would begin and end.
const fn no_entries() -> *mut Entry {
    (&raw const BELOW_NONE).wrapping_add(1).cast_mut()
}

/// What became of a block that was to be pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    Done,
    /// The bin is full.
    Full,
    /// The block is in the bin already.
    Twice,
}

/// A bin for each class of the inlined path. Those of more than `BIN_LONGEST` bytes stay closed.
pub(super) struct Bins {
    /// The entry above the last block's.
    tops: [AtomicPtr<Entry>; INLINE_CLASSES],
    /// Behind the last entry.
    limits: [Cell<*const Entry>; INLINE_CLASSES],
    /// The first entry of the array; null where there is none yet.
    floors: [AtomicPtr<Entry>; INLINE_CLASSES],
    /// Of a closed bin: slabs in a row that had few free blocks when they became current. Of an
    /// open one: blocks that were taken out in a row since it was empty, or, below zero, put in
    /// since it was full.
    runs: [Cell<i16>; INLINE_CLASSES],
    /// The classes whose bin is open, a bit each.
    open: Cell<u64>,
}

/// Sixteen bits of the address of each block in a bin, by its place, and zero for places without
/// one. They tell in a few steps that a block is not there.
type Keys = [Cell<u16>; BIN_BLOCKS + 1];

const KEYS_BYTES: usize = size_of::<Keys>();

/// The key of the block at `start`.
#[inline(always)]
fn key_of(start: *mut u8) -> u16 {
    ((start.addr() / CLASS_ALIGN) ^ (start.addr() / UNIT_BYTES)) as u16
}

/// Entries that are compared without a step between them when a bin is looked through.
const SCANNED: usize = 8;

/// The most blocks that leave or enter a bin at a time.
const HALF_BLOCKS: usize = BIN_BLOCKS.div_ceil(2);

/// The older half of the places in the bin of `class`.
const fn half_places(class: Class) -> usize {
    class.places().div_ceil(2)
}

/// Blocks on their way between a bin and slabs.
pub(super) struct Half {
    blocks: [*mut u8; HALF_BLOCKS],
    count: usize,
}

impl Half {
    const fn new() -> Self {
        Self { blocks: [ptr::null_mut(); HALF_BLOCKS], count: 0 }
    }

    pub(super) fn blocks(&self) -> impl Iterator<Item = NonNull<u8>> {
        self.blocks.iter().take(self.count).filter_map(|block| NonNull::new(*block))
    }
}

/// The element of `class`, which is one of the inlined path.
#[inline(always)]
fn of<T>(array: &[T; INLINE_CLASSES], class: Class) -> &T {
    debug_assert!(class.index() < INLINE_CLASSES, "a class of the inlined path");
    // SAFETY: the callers' classes are those of `inline_class` or have places in a bin, as is
    // asserted of both where they are defined.
    unsafe { array.get_unchecked(class.index()) }
}

impl Bins {
    pub(super) const fn new() -> Self {
        Self {
            tops: [const { AtomicPtr::new(no_entries()) }; INLINE_CLASSES],
            limits: [const { Cell::new(no_entries()) }; INLINE_CLASSES],
            floors: [const { AtomicPtr::new(ptr::null_mut()) }; INLINE_CLASSES],
            runs: [const { Cell::new(0) }; INLINE_CLASSES],
            open: Cell::new(0),
        }
    }

    // ---- the two fast paths ----

    /// Takes the block that was pushed last onto the bin of `class`.
    #[inline(always)]
    pub(super) fn pop(&self, class: Class) -> Option<NonNull<u8>> {
        let top = of(&self.tops, class);
        let last = top.load(Ordering::Relaxed).wrapping_sub(1);
        // SAFETY: below the top is a block's entry, or the one below the first.
        let block = NonNull::new(unsafe { (*last).load(Ordering::Relaxed) })?;
        top.store(last, Ordering::Relaxed);
        Some(block)
    }

    /// Pushes the free block at `start` onto the bin of `class`. Tells whether it is there already:
    /// in debug builds wherever it is, else if it was the last one pushed.
    #[inline(always)]
    pub(super) fn push(&self, class: Class, start: NonNull<u8>) -> Pushed {
        let top = of(&self.tops, class).load(Ordering::Relaxed);
        if cfg!(debug_assertions) && self.contains(class, start.as_ptr()) {
            return Pushed::Twice;
        }
        if ptr::eq(top, of(&self.limits, class).get()) {
            return Pushed::Full;
        }
        // SAFETY: below the top is a block's entry, or the one below the first.
        if ptr::eq(unsafe { (*top.wrapping_sub(1)).load(Ordering::Relaxed) }, start.as_ptr()) {
            return Pushed::Twice;
        }
        // SAFETY: the top is below the limit, so it is an entry.
        unsafe { (*top).store(start.as_ptr(), Ordering::Relaxed) };
        of(&self.tops, class).store(top.wrapping_add(1), Ordering::Relaxed);
        Pushed::Done
    }

    // ---- with keys ----

    /// As [`push`](Self::push), of a class whose bin was open before. Finds a block wherever it is
    /// in the bin, if it was pushed so or had its key [set](Self::set_keys).
    #[inline(always)]
    pub(super) fn push_keyed(&self, class: Class, start: NonNull<u8>) -> Pushed {
        let keys = self.keys(class);
        let key = key_of(start.as_ptr());
        // Without a branch, so that eight keys are compared at a time.
        let may_be_here = keys.iter().fold(false, |found, other| found | (other.get() == key));
        if may_be_here && self.contains(class, start.as_ptr()) {
            return Pushed::Twice;
        }
        let top = of(&self.tops, class).load(Ordering::Relaxed);
        if ptr::eq(top, of(&self.limits, class).get()) {
            return Pushed::Full;
        }
        if let Some(place) = keys.get(self.count(class)) {
            place.set(key);
        }
        // SAFETY: the top is below the limit, so it is an entry.
        unsafe { (*top).store(start.as_ptr(), Ordering::Relaxed) };
        of(&self.tops, class).store(top.wrapping_add(1), Ordering::Relaxed);
        Pushed::Done
    }

    /// Clears the key of the block of `class` that was just popped.
    #[inline(always)]
    pub(super) fn clear_key(&self, class: Class) {
        if let Some(place) = self.keys(class).get(self.count(class)) {
            place.set(0);
        }
    }

    /// Writes the keys of what is in the bin of `class` anew.
    pub(super) fn set_keys(&self, class: Class) {
        if !self.is_open(class) {
            return;
        }
        let entries = entries(of(&self.tops, class), of(&self.floors, class)).iter();
        let present = entries.map(|entry| key_of(entry.load(Ordering::Relaxed)));
        self.keys(class).iter().zip(present.chain(iter::repeat(0))).for_each(|(place, key)| place.set(key));
    }

    /// Blocks in the bin of `class`, which is or was open. For the owner.
    #[inline(always)]
    fn count(&self, class: Class) -> usize {
        let floor = of(&self.floors, class).load(Ordering::Relaxed);
        of(&self.tops, class).load(Ordering::Relaxed).addr().wrapping_sub(floor.addr()) / ENTRY_BYTES
    }

    /// The keys of the bin of `class`, which is or was open. For the owner.
    #[inline(always)]
    fn keys(&self, class: Class) -> &Keys {
        let floor = of(&self.floors, class).load(Ordering::Relaxed);
        // SAFETY: the bin has an array, with them before its entries.
        unsafe { &*floor.wrapping_sub(1).wrapping_byte_sub(KEYS_BYTES).cast::<Keys>() }
    }

    // ---- open and closed ----

    /// Whether the bin of `class` is open.
    #[inline]
    pub(super) fn is_open(&self, class: Class) -> bool {
        ON && class.index() < INLINE_CLASSES && (self.open.get() >> class.index()) & 1 != 0
    }

    /// Whether any bin is open.
    #[inline(always)]
    pub(super) fn is_any_open(&self) -> bool {
        ON && self.open.get() != 0
    }

    /// The classes whose bins are open.
    pub(super) fn open_classes(&self) -> impl Iterator<Item = Class> {
        Class::in_set(self.open.get().into())
    }

    /// Opens the bin of `class`, which has places. False without memory for its array.
    pub(super) fn open(&self, class: Class) -> bool {
        let places = class.places();
        let mut floor = of(&self.floors, class).load(Ordering::Relaxed);
        if floor.is_null() {
            // The keys, an entry that is always null, and the entries of the blocks.
            let entries = places.wrapping_add(1).wrapping_mul(ENTRY_BYTES);
            let Some(array) = records::take(KEYS_BYTES.wrapping_add(entries)) else {
                return false;
            };
            floor = array.as_ptr().wrapping_add(KEYS_BYTES).cast::<Entry>().wrapping_add(1);
            of(&self.floors, class).store(floor, Ordering::Relaxed);
        }
        of(&self.tops, class).store(floor, Ordering::Relaxed);
        of(&self.limits, class).set(floor.wrapping_add(places));
        of(&self.runs, class).set(0);
        self.open.set(self.open.get() | (1 << class.index()));
        true
    }

    /// Closes the bin of `class`, which is empty.
    pub(super) fn close(&self, class: Class) {
        of(&self.tops, class).store(no_entries(), Ordering::Relaxed);
        of(&self.limits, class).set(no_entries());
        of(&self.runs, class).set(0);
        self.open.set(self.open.get() & !(1 << class.index()));
    }

    /// Notes that `class` needed another slab: a `partial` one, or none had room. Whether its bin
    /// is to be opened.
    pub(super) fn note_refill(&self, class: Class, partial: Option<&Slab>) -> bool {
        if !ON || class.places() == 0 || self.is_open(class) {
            return false;
        }
        let run = of(&self.runs, class);
        let is_scattered = partial.is_some_and(|slab| {
            (slab.available() as usize).wrapping_mul(BIN_SCATTERED_PART) <= slab.capacity()
        });
        run.set(if is_scattered { run.get().saturating_add(1) } else { 0 });
        run.get() >= BIN_SCATTERED
    }

    /// Notes that half of the full bin of `class` is taken out. Whether it is to be closed.
    pub(super) fn is_flooded(&self, class: Class) -> bool {
        let run = of(&self.runs, class);
        run.set(run.get().max(0).saturating_add(half_places(class) as i16));
        run.get() >= BIN_RUN
    }

    /// Notes that the bin of `class` was empty and that so many `blocks` were taken from slabs
    /// instead. Whether it is to be closed.
    pub(super) fn is_drained(&self, class: Class, blocks: usize) -> bool {
        let run = of(&self.runs, class);
        run.set(run.get().min(0).saturating_sub(blocks as i16));
        run.get() <= -BIN_RUN
    }

    // ---- many blocks at a time ----

    /// Takes the older half of the blocks out of the bin of `class`, which is full.
    pub(super) fn take_half(&self, class: Class) -> Half {
        let floor = of(&self.floors, class).load(Ordering::Relaxed);
        let half = half_places(class);
        let newer = class.places().wrapping_sub(half);
        let mut taken = Half::new();
        for (index, block) in taken.blocks.iter_mut().enumerate().take(half) {
            // SAFETY: a full bin has so many blocks.
            unsafe {
                *block = (*floor.add(index)).load(Ordering::Relaxed);
                if index < newer {
                    let moved = (*floor.add(half.wrapping_add(index))).load(Ordering::Relaxed);
                    (*floor.add(index)).store(moved, Ordering::Relaxed);
                }
            }
        }
        taken.count = half;
        of(&self.tops, class).store(floor.wrapping_add(newer), Ordering::Relaxed);
        taken
    }

    /// Fills half of the bin of `class`, which is open, if it is empty: with what `take` passes
    /// on, so many blocks at most. The very first is the next to be popped. Returns how many there
    /// are.
    pub(super) fn fill(&self, class: Class, take: impl FnOnce(usize, &mut dyn FnMut(NonNull<u8>))) -> usize {
        let floor = of(&self.floors, class).load(Ordering::Relaxed);
        if !ptr::eq(of(&self.tops, class).load(Ordering::Relaxed), floor) {
            return 0;
        }
        let mut half = Half::new();
        take(class.places() / 2, &mut |block| {
            if let Some(place) = half.blocks.get_mut(half.count) {
                *place = block.as_ptr();
                half.count = half.count.wrapping_add(1);
            }
        });
        for (index, block) in half.blocks.iter().take(half.count).rev().enumerate() {
            // SAFETY: an open bin has room for half of its places.
            unsafe { (*floor.add(index)).store(*block, Ordering::Relaxed) };
        }
        of(&self.tops, class).store(floor.wrapping_add(half.count), Ordering::Relaxed);
        half.count
    }

    /// Takes every block of the unit that begins at `base` out of the bin of `class`.
    pub(super) fn take_from(&self, class: Class, base: usize, mut each: impl FnMut(NonNull<u8>)) {
        if !self.is_open(class) {
            return;
        }
        let top = of(&self.tops, class).load(Ordering::Relaxed);
        let mut next = of(&self.floors, class).load(Ordering::Relaxed);
        let mut kept = next;
        while !ptr::eq(next, top) {
            // SAFETY: between the floor and the top are entries with blocks.
            let block = unsafe { (*next).load(Ordering::Relaxed) };
            match NonNull::new(block).filter(|_| align_down(block.addr(), UNIT_BYTES) == base) {
                Some(block) => each(block),
                None => {
                    // SAFETY: `kept` is not above `next`.
                    unsafe { (*kept).store(block, Ordering::Relaxed) };
                    kept = kept.wrapping_add(1);
                }
            }
            next = next.wrapping_add(1);
        }
        of(&self.tops, class).store(kept, Ordering::Relaxed);
    }

    // ---- questions ----

    /// Blocks in the bin of each class of the inlined path, by its index. Any thread may ask.
    pub(super) fn blocks(&self) -> impl Iterator<Item = usize> {
        self.tops.iter().zip(&self.floors).map(|(top, floor)| entries(top, floor).len())
    }

    /// Whether the bin of `class` has the block at `start`. For the owner; another thread's answer
    /// may be outdated at once.
    #[cold]
    #[inline(never)]
    pub(super) fn contains(&self, class: Class, start: *mut u8) -> bool {
        if class.places() == 0 {
            return false;
        }
        let is_here = |entry: &Entry| ptr::eq(entry.load(Ordering::Relaxed), start);
        let mut chunks = entries(of(&self.tops, class), of(&self.floors, class)).chunks_exact(SCANNED);
        chunks.any(|chunk| chunk.iter().any(is_here)) || chunks.remainder().iter().any(is_here)
    }
}

/// The entries with blocks of the bin with that top and that floor.
#[inline(always)]
fn entries<'a>(top: &AtomicPtr<Entry>, floor: &AtomicPtr<Entry>) -> &'a [Entry] {
    let (top, floor) = (top.load(Ordering::Relaxed), floor.load(Ordering::Relaxed));
    if ptr::eq(top, no_entries()) || floor.is_null() {
        return &[];
    }
    let blocks = top.addr().saturating_sub(floor.addr()) / ENTRY_BYTES;
    // SAFETY: arrays are never taken back, and an open bin's top lies in its array or behind it.
    unsafe { core::slice::from_raw_parts(floor, blocks) }
}

const_assert!(INLINE_CLASSES <= u64::BITS as usize && KEYS_BYTES.is_multiple_of(ENTRY_BYTES));
