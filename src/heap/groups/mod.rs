//! Groups: heaps that a thread uses in place of its own for a while, so that a block's slab says
//! whose the block is.
//!
//! A group has a list of heaps. A thread that *enters* it takes an idle one, or makes one, and puts
//! it into its slot; the fast paths are those of any heap. The heaps that a thread has entered, one
//! inside the other, are its *chain*: the innermost is in the slot, and each names the one outside
//! it. The thread's own heap is its end.
//!
//! A slab of a group's heap never leaves the group: it is not abandoned, and no other heap adopts
//! it. Its way ends in the depot.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `mod` | a group's record, a heap's membership, entering and leaving |
//! | `life` | making groups, and their end; what idle heaps give back |
//! | `count` | limits, large allocations, and frees from outside |
//!
//! State: each group's record, and the membership of each heap. A heap of a group is used by who
//! has set its `busy`: as by a heap's owner.

use core::cell::Cell;
use core::iter;
use core::ptr;

use super::{Heap, slot, tally, thread};
use crate::base::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use crate::policy::books::Books;
use crate::policy::requested::Requested;

mod count;
mod life;

pub(crate) use count::{
    allocate_large, count_resized, free_large, freed_large, group_of, reallocate_large, sent, take_refused,
    tell_of_soft_limit,
};
#[cfg(feature = "profile")]
pub(super) use count::{sampled, sampled_freed};
pub(crate) use life::{create, living, purge, trim_idle, trim_refused};
pub(super) use life::{mend, mend_heaps};

/// Whether there has ever been a group. A program without asks for nothing else.
static USED: AtomicBool = AtomicBool::new(false);

/// Whether there has ever been a group.
#[inline(always)]
pub(crate) fn are_used() -> bool {
    USED.load(Ordering::Relaxed)
}

/// The most bytes of a group's name that are kept.
pub(crate) const NAME_BYTES: usize = 63;

/// A group's name, cut to [`NAME_BYTES`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Name {
    bytes: [u8; NAME_BYTES],
    length: u8,
}

impl Name {
    /// No name.
    pub(crate) const NONE: Self = Self { bytes: [0; NAME_BYTES], length: 0 };

    /// `name`, cut between two characters where it is too long.
    pub(crate) fn of(name: &str) -> Self {
        let mut cut = Self::NONE;
        let mut length = name.len().min(NAME_BYTES);
        while !name.is_char_boundary(length) {
            length = length.wrapping_sub(1);
        }
        for (to, from) in cut.bytes.iter_mut().zip(name.as_bytes().iter().take(length)) {
            *to = *from;
        }
        cut.length = length as u8;
        cut
    }

    pub(crate) fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.length)).unwrap_or_default();
        core::str::from_utf8(bytes).unwrap_or_default()
    }
}

/// In [`Record::handles`]: the record is no group's.
const ENDED: usize = 1 << (usize::BITS - 1);
/// In [`Record::handles`]: the record is on a list of groups without handles, or about to be put
/// there. One step with the count, or a walk could end the group before it is listed.
const LISTED: usize = ENDED >> 1;

/// The newest record.
static NEWEST: AtomicPtr<Record> = AtomicPtr::new(ptr::null_mut());

/// One group. Records are never unmapped: a later group may have the record of one that has ended.
pub(crate) struct Record {
    pub(crate) books: Books,
    /// Written while nobody has the record.
    name: Cell<Name>,
    /// The heaps of the group, the newest first. They stay with the record.
    heaps: AtomicPtr<Heap>,
    /// How many handles name the group; and [`LISTED`], or [`ENDED`].
    handles: AtomicUsize,
    /// The next record of its list; see [`life`].
    next: Cell<*const Record>,
    /// The next older of all records. Written before the record is listed.
    older: AtomicPtr<Record>,
}

// SAFETY: `name` is written before a handle is given out, and read by who has one or is in the
// group. `next` is touched under the lock of the lists. The rest is atomic.
unsafe impl Sync for Record {}

impl Record {
    const fn new() -> Self {
        Self {
            books: Books::new(),
            name: Cell::new(Name::NONE),
            heaps: AtomicPtr::new(ptr::null_mut()),
            handles: AtomicUsize::new(ENDED),
            next: Cell::new(ptr::null()),
            older: AtomicPtr::new(ptr::null_mut()),
        }
    }

    pub(crate) fn name(&self) -> Name {
        self.name.get()
    }

    /// The group's heaps. Any thread may ask.
    pub(crate) fn heaps(&self) -> impl Iterator<Item = &'static Heap> + use<> {
        heaps_from(self.heaps.load(Ordering::Acquire))
    }

    /// An idle heap, which is the caller's until [`Heap::let_go`].
    fn claim(&self) -> Option<&'static Heap> {
        self.heaps().find(|heap| heap.claim())
    }

    /// A new heap of the group, which is the caller's.
    #[cold]
    fn add_heap(&'static self) -> Option<&'static Heap> {
        let heap = Heap::fresh()?;
        let member = &heap.member;
        member.record.store(ptr::from_ref(self).cast_mut(), Ordering::Relaxed);
        member.busy.store(true, Ordering::Relaxed);
        tally::enlist(heap);
        let mut first = self.heaps.load(Ordering::Relaxed);
        loop {
            member.next.store(first, Ordering::Relaxed);
            let this = ptr::from_ref(heap).cast_mut();
            match self.heaps.compare_exchange_weak(first, this, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return Some(heap),
                Err(now) => first = now,
            }
        }
    }

    /// Counts one handle more. The caller has one, or is in the group.
    pub(crate) fn add_handle(&self) {
        self.handles.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one handle more, unless the group has ended.
    fn add_handle_if_live(&self) -> bool {
        let more = |handles: usize| (handles & ENDED == 0).then_some(handles.wrapping_add(1));
        // Acquire: the name, if another thread has just made the group.
        self.handles.fetch_update(Ordering::Acquire, Ordering::Relaxed, more).is_ok()
    }

    /// What the record's heaps have counted, for this group and for those before it.
    fn counted(&self) -> Requested {
        self.heaps().map(Heap::requested).fold(Requested::NONE, Requested::and)
    }

    /// What was allocated in the group, and freed of that.
    pub(crate) fn requested(&self) -> Requested {
        self.counted().and(self.books.elsewhere())
    }
}

/// The heap `newest`, one of a group or null, and the group's older ones.
fn heaps_from(newest: *const Heap) -> impl Iterator<Item = &'static Heap> {
    // SAFETY: heaps are never unmapped.
    iter::successors(unsafe { newest.as_ref() }, |heap| unsafe {
        heap.member.next.load(Ordering::Relaxed).as_ref()
    })
}

/// What a heap knows of its group.
pub(crate) struct Member {
    /// Null, for ever, of a heap of no group.
    record: AtomicPtr<Record>,
    /// The next heap of the group.
    next: AtomicPtr<Heap>,
    /// Whether a thread uses the heap.
    busy: AtomicBool,
    /// The heap outside this one in its thread's chain. The thread's own, as the next two.
    outer: Cell<*const Heap>,
    /// How often the thread has entered without leaving.
    depth: Cell<usize>,
    /// Whether the hard limit has refused the thread's last request.
    refused: Cell<bool>,
}

impl Member {
    pub(super) const fn new() -> Self {
        Self {
            record: AtomicPtr::new(ptr::null_mut()),
            next: AtomicPtr::new(ptr::null_mut()),
            busy: AtomicBool::new(false),
            outer: Cell::new(ptr::null()),
            depth: Cell::new(0),
            refused: Cell::new(false),
        }
    }
}

impl Heap {
    /// The heap's group. Any thread may ask.
    #[inline]
    pub(crate) fn group(&self) -> Option<&'static Record> {
        // SAFETY: records are never unmapped.
        unsafe { self.member.record.load(Ordering::Acquire).as_ref() }
    }

    /// The books of the heap's group.
    #[inline]
    pub(super) fn books(&self) -> Option<&'static Books> {
        Some(&self.group()?.books)
    }

    /// Takes the heap, one of a group, for the calling thread, if it is idle.
    fn claim(&self) -> bool {
        let busy = &self.member.busy;
        !busy.load(Ordering::Relaxed) && !busy.swap(true, Ordering::Acquire)
    }

    /// Ends the calling thread's use of the heap, one of a group.
    fn let_go(&'static self) {
        self.publish_sent();
        self.tally.set_thread(0);
        self.member.outer.set(ptr::null());
        self.member.depth.set(0);
        // Release: the next thread has all that this one did.
        self.member.busy.store(false, Ordering::Release);
    }

    /// The heap outside this one in the calling thread's chain.
    fn outer(&self) -> Option<&'static Heap> {
        self.group()?;
        // SAFETY: heaps are never unmapped.
        unsafe { self.member.outer.get().as_ref() }
    }
}

/// The calling thread's heaps: what it has entered, the innermost first, and its own.
pub(super) fn chain() -> impl Iterator<Item = &'static Heap> {
    iter::successors(thread::existing_heap(), |heap| heap.outer())
}

/// The group that the calling thread is in.
pub(crate) fn current() -> Option<&'static Record> {
    thread::heap().group()
}

/// Lets the calling thread allocate from `record`'s group. None, without effect, where there is no
/// memory for a heap, or the thread's own has ended. The caller has a handle.
pub(crate) fn enter(record: &'static Record) -> Option<&'static Heap> {
    let outer = thread::own_heap()?;
    if outer.group().is_some_and(|group| ptr::eq(group, record)) {
        outer.member.depth.set(outer.member.depth.get().wrapping_add(1));
        return Some(outer);
    }
    let heap = record.claim().or_else(|| record.add_heap())?;
    heap.member.outer.set(outer);
    heap.member.depth.set(1);
    heap.tally.set_thread(outer.tally.thread());
    slot::set(heap);
    Some(heap)
}

/// Undoes an [`enter`] that has returned `heap`: wherever that is in the calling thread's chain.
/// Without effect if it is not there: the thread's chain has ended, or it is another thread's.
pub(crate) fn leave(heap: &'static Heap) {
    if !chain().any(|entered| ptr::eq(entered, heap)) {
        return;
    }
    let depth = heap.member.depth.get().wrapping_sub(1);
    heap.member.depth.set(depth);
    if depth != 0 {
        return;
    }
    let outer = heap.member.outer.get();
    match chain().find(|inner| ptr::eq(inner.member.outer.get(), heap)) {
        Some(inner) => inner.member.outer.set(outer),
        None => slot::set(outer),
    }
    heap.let_go();
}

/// Leaves every group that the calling thread has entered.
pub(super) fn leave_all() {
    while let Some(outer) = thread::heap().outer() {
        let heap = thread::heap();
        slot::set(outer);
        heap.let_go();
    }
}
