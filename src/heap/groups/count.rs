//! A group's books beside its heaps' own: limits, large allocations, and frees from outside.

use core::ptr::{self, NonNull};

use super::{Record, current};
use crate::base::address::align_up;
use crate::block::size_class::Class;
#[cfg(feature = "profile")]
use crate::heap::sampling;
use crate::heap::{Found, Heap, thread};
use crate::memory::depot;
use crate::memory::large::{self, Contents};
use crate::memory::slab::{Inbox, Slab};
use crate::os;
use crate::policy::books::Books;
use crate::policy::requested::Requested;

impl Heap {
    /// Counts `bytes` that are about to be carved or mapped for the heap's group, if it has one.
    /// False where the group's hard limit forbids them. For the owner.
    #[must_use]
    fn charge(&self, bytes: usize) -> bool {
        let Some(books) = self.books() else { return true };
        self.note_requested();
        let is_allowed = books.charge(bytes);
        if !is_allowed {
            self.member.refused.set(true);
        }
        is_allowed
    }

    /// Ends the count of a slab that leaves the heap. Helpers, too, call it.
    pub(in crate::heap) fn uncharge(&self, slab: &Slab) {
        if let Some(books) = self.books() {
            books.release(slab.carved_bytes());
        }
    }

    /// A block of a current slab that has uncarved ones, if the group's limit allows it.
    pub(in crate::heap) fn carve_charged(&self, slab: &'static Slab) -> Option<Found> {
        let Some(books) = self.books() else { return Some(self.carve(slab)) };
        let most = slab.next_carve_bytes();
        if !self.charge(most) {
            return None;
        }
        let before = slab.carved_bytes();
        let found = self.carve(slab);
        books.release(most.wrapping_sub(slab.carved_bytes().wrapping_sub(before)));
        Some(found)
    }

    /// The slab of `class` put aside, if there is one and the group's limit allows it.
    #[inline]
    pub(in crate::heap) fn take_spare(&self, class: Class) -> Option<&'static Slab> {
        let spare = self.spares.take(class)?;
        if self.charge(spare.carved_bytes()) {
            return Some(spare);
        }
        depot::release(spare);
        None
    }
}

impl Heap {
    /// As [`note_requested`](Self::note_requested), at one refill of sixteen: it reads a line of
    /// each of the group's heaps, which their threads write to.
    #[inline]
    pub(in crate::heap) fn note_requested_at_times(&self) {
        if self.calls.get().is_multiple_of(16) {
            self.note_requested();
        }
    }

    /// Notes how much is requested of the heap's group, if it has one.
    fn note_requested(&self) {
        if let Some(record) = self.group() {
            record.books.note_requested(record.requested().live());
        }
    }
}

/// Whether the last request of the calling thread was refused by its group's limit. Asked once.
pub(crate) fn take_refused() -> bool {
    let heap = thread::heap();
    heap.group().is_some() && heap.member.refused.replace(false)
}

/// Calls the callback of the calling thread's group, if its soft limit has been passed. No lock is
/// held.
#[cold]
#[inline(never)]
pub(crate) fn tell_of_soft_limit() {
    if let Some(record) = current()
        && let Some(callback) = record.books.take_due()
    {
        callback(record.name().as_str(), record.books.held());
    }
}

// ---- frees from outside ----

/// The group whose heap has the inbox `home`.
pub(crate) fn group_of(home: *const Inbox) -> Option<&'static Record> {
    // The inbox comes first in a heap.
    // SAFETY: `home` is null or a heap's, and heaps are never unmapped.
    unsafe { home.cast::<Heap>().as_ref() }?.group()
}

/// Moves what the calling thread's heap has counted, `what`, to the books of `owner`.
fn move_to(owner: Option<&'static Books>, what: Requested) {
    let counted = thread::heap().books();
    if owner.map(ptr::from_ref) == counted.map(ptr::from_ref) {
        return;
    }
    if let Some(books) = owner {
        books.count_elsewhere(what);
    }
    if let Some(books) = counted {
        books.count_elsewhere(what.negated());
    }
}

/// Counts a block of `slab`, for which `requested` bytes were asked, that the calling thread sends
/// home. It has counted them as freed.
#[cold]
#[inline(never)]
pub(crate) fn sent(slab: &Slab, requested: usize) {
    let owner = group_of(slab.home()).map(|record| &record.books);
    if let Some(books) = owner {
        books.count_sent(slab.block_bytes());
    }
    move_to(owner, Requested::free(requested));
}

/// The books of whoever has the block of `slab` at `start`.
fn owner_of(slab: &Slab, start: NonNull<u8>) -> Option<&'static Books> {
    #[cfg(feature = "profile")]
    if sampling::is_home(slab.home()) {
        return sampling::group_at(start).map(|record| &record.books);
    }
    // Used with the feature alone.
    let _ = start;
    group_of(slab.home()).map(|record| &record.books)
}

/// Counts a sampled block of `bytes` that the group `record` is about to get. False where its hard
/// limit forbids that.
#[cfg(feature = "profile")]
#[must_use]
pub(in crate::heap) fn sampled(record: Option<&'static Record>, bytes: usize) -> bool {
    let Some(record) = record else { return true };
    let is_allowed = record.books.charge_if_allowed(bytes);
    if is_allowed {
        record.books.count_sampled(bytes);
    }
    is_allowed
}

/// Ends the count of one, for which `requested` bytes were asked. The calling thread has counted
/// them as freed.
#[cfg(feature = "profile")]
pub(in crate::heap) fn sampled_freed(record: Option<&'static Record>, bytes: usize, requested: usize) {
    move_to(record.map(|record| &record.books), Requested::free(requested));
    if let Some(record) = record {
        record.books.release(bytes);
        // Last: without a block the group may end at once.
        record.books.uncount_sampled(bytes);
    }
}

/// Counts `requested` bytes of the large allocation at `start`, which is about to be freed. The
/// calling thread has counted them as freed.
pub(crate) fn freed_large(start: NonNull<u8>, requested: usize) {
    move_to(large::owner(start), Requested::free(requested));
}

/// Counts `more` for the owner of the block at `start`, of `slab` or a large allocation. The
/// calling thread has counted it.
#[cold]
#[inline(never)]
pub(crate) fn count_resized(start: NonNull<u8>, slab: Option<&Slab>, more: Requested) {
    let owner = match slab {
        Some(slab) => owner_of(slab, start),
        None => large::owner(start),
    };
    move_to(owner, more);
}

// ---- large allocations ----

/// As [`large::allocate`], of the calling thread's group.
pub(crate) fn allocate_large(size: usize, align: usize, contents: Contents) -> Option<NonNull<u8>> {
    let heap = thread::heap();
    let Some(books) = heap.books() else { return large::allocate(size, align, contents) };
    let bytes = align_up(size.max(1), os::page_bytes());
    if !heap.charge(bytes) {
        return None;
    }
    let made = large::allocate(size, align, contents);
    match made {
        Some(start) => enter(books, start, bytes),
        None => books.release(bytes),
    }
    made
}

/// Enters the allocation at `start` into the books, for which `charged` bytes are counted.
fn enter(books: &'static Books, start: NonNull<u8>, charged: usize) {
    let bytes = large::own(start, books);
    books.count_large(bytes);
    match bytes.checked_sub(charged) {
        Some(more) => books.add(more),
        None => books.release(charged.wrapping_sub(bytes)),
    }
}

/// As [`large::free`], whoever it belongs to.
pub(crate) fn free_large(start: NonNull<u8>) {
    let owner = large::disown(start);
    large::free(start);
    if let Some((books, bytes)) = owner {
        books.release(bytes);
        // Last: without a block the group may end at once.
        books.uncount_large(bytes);
    }
}

/// As [`large::reallocate`]. The allocation stays its group's, whatever group the calling thread is
/// in.
pub(crate) fn reallocate_large(start: NonNull<u8>, size: usize, align: usize) -> Option<NonNull<u8>> {
    let owned = if super::are_used() { large::disown(start) } else { None };
    let Some((books, bytes)) = owned else { return large::reallocate(start, size, align) };
    // With the room that it may be given, its offset in the first page, and the rest of the last.
    let most = size.max(bytes.wrapping_add(bytes / large::ROOM));
    let most = most.saturating_add(os::page_bytes().wrapping_mul(2));
    let more = if size <= bytes { 0 } else { most.wrapping_sub(bytes) };
    let is_allowed = books.charge(more);
    let resized = if is_allowed { large::reallocate(start, size, align) } else { None };
    if !is_allowed
        && let Some(record) = current()
        && ptr::eq(&raw const record.books, books)
    {
        thread::heap().member.refused.set(true);
    }
    let more = if is_allowed { more } else { 0 };
    enter(books, resized.unwrap_or(start), bytes.wrapping_add(more));
    // Last: without a block the group could end meanwhile.
    books.uncount_large(bytes);
    resized
}
