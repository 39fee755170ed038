//! Groups: whose memory it is, exactly, and how much of it there may be.
//!
//! What a thread allocates through the global allocator while it is *in* a group belongs to the
//! group: whatever code asks for it, and whoever frees it later, wherever. A group's blocks lie in
//! slabs of its own, so that no block needs a header: its slab says whose it is.
//!
//! ```
//! use freestone::groups::Group;
//!
//! # #[global_allocator]
//! # static ALLOC: freestone::Freestone = freestone::Freestone::new();
//! static DB: Group = Group::new("db");
//!
//! # fn main() {
//! let cache = DB.enter(|| vec![1_u8; 1000]);
//! # if cfg!(all(target_os = "linux", target_pointer_width = "64")) {
//! assert_eq!(DB.requested(), 1000);
//! # }
//! drop(cache);
//! assert_eq!(DB.requested(), 0);
//! # }
//! ```
//!
//! [`docs/groups.md`] has the picture of what is whose, what it costs, and every rule.
//!
//! Off Linux, and where pointers have 32 bits, groups have no effect and their statistics are zero.
//!
//! State: none; a group's record is the heap's room's.
//!
//! [`docs/groups.md`]: https://docs.rs/crate/freestone/latest/source/docs/groups.md

use core::fmt;
use core::marker::PhantomData;
use core::num::NonZero;
use core::ptr::{self, NonNull};

use crate::base::atomic::{AtomicPtr, Ordering};

mod future;
#[cfg_attr(not(all(target_os = "linux", target_pointer_width = "64")), path = "nowhere.rs")]
mod place;
mod stats;

pub use future::Instrumented;
use place::{Entry, Record};
pub use stats::GroupStats;

/// Calls `look` with every group that lives, in no order: every group that has a handle or blocks.
/// A static one lives from its first use. Groups that are made, or end, meanwhile may be left out.
/// One whose last block was freed from outside lives until the block is handed over.
///
/// Ends groups that have lost their last handle and are empty, as [`Group::create`] does, and so
/// takes what locks that takes. No lock is held while `look` runs. It may allocate, enter the
/// group, and keep a clone of the handle. It may panic: then the rest is not looked at. Nothing
/// else here allocates.
pub fn each(mut look: impl FnMut(&Group)) {
    place::living().for_each(|record| look(&Group::of(Some(record))));
}

/// Which group: of those that live at a time no two have the same. A later group may have that of
/// one that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId(NonZero<usize>);

impl GroupId {
    /// The group with books at `address`, if that is not zero.
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    pub(crate) fn of_books(address: usize) -> Option<Self> {
        NonZero::new(address).map(Self)
    }
}

/// A group: a name, statistics and limits of what is allocated while a thread is in it.
///
/// A clone is another handle of the same group. A group made at run time ends when its last handle
/// is dropped and its last block is freed; what it holds until then stays counted. A static one
/// lives as long as the program.
///
/// The first use makes the group's record. Where there is no memory for one, entering has no
/// effect, and what is allocated belongs to whatever group the thread is in already.
pub struct Group {
    /// Of a group whose record is made on its first use.
    name: Option<&'static str>,
    /// Null before the first use.
    record: AtomicPtr<Record>,
}

impl Group {
    /// A group for a `static`. Its name is cut to 63 bytes.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name: Some(name), record: AtomicPtr::new(ptr::null_mut()) }
    }

    /// A group made at run time. Its name is copied, and cut to 63 bytes.
    ///
    /// Where there is no memory for its record, the group has no effect, and no name.
    #[must_use]
    pub fn create(name: &str) -> Self {
        Self::of(place::create(name))
    }

    /// The group that the calling thread is in, the innermost one: to be handed to threads and
    /// tasks that it starts. None outside of groups.
    #[must_use]
    pub fn current() -> Option<Self> {
        let record = place::current()?;
        record.add_handle();
        Some(Self::of(Some(record)))
    }

    fn of(record: Option<&'static Record>) -> Self {
        let record = record.map_or(ptr::null_mut(), |record| ptr::from_ref(record).cast_mut());
        Self { name: None, record: AtomicPtr::new(record) }
    }

    /// The group's record, made where there is none.
    fn record(&self) -> Option<&'static Record> {
        // SAFETY: records are never unmapped.
        let record = unsafe { self.record.load(Ordering::Acquire).as_ref() };
        record.or_else(|| self.make(self.name?))
    }

    #[cold]
    fn make(&self, name: &str) -> Option<&'static Record> {
        let made = place::create(name)?;
        let new = ptr::from_ref(made).cast_mut();
        match self.record.compare_exchange(ptr::null_mut(), new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Some(made),
            Err(first) => {
                // Another thread was first.
                made.drop_handle();
                // SAFETY: records are never unmapped.
                unsafe { first.as_ref() }
            }
        }
    }

    /// Calls `work` in the group: what it allocates on this thread belongs to the group. The thread
    /// leaves the group also where `work` panics.
    pub fn enter<T>(&self, work: impl FnOnce() -> T) -> T {
        let _entered = self.entered();
        work()
    }

    /// Enters the group until the guard is dropped.
    ///
    /// Guards may be dropped in any order: the thread is in the group whose guard is the youngest
    /// that lives. A guard that is forgotten keeps its thread in the group until the thread ends.
    #[must_use = "the thread leaves the group when the guard is dropped"]
    pub fn entered(&self) -> Entered<'_> {
        Entered { entry: self.record().and_then(place::enter), group: PhantomData, thread: PhantomData }
    }

    /// `future`, polled in the group: entered at each poll and left at each await.
    pub fn instrument<F>(&self, future: F) -> Instrumented<F> {
        Instrumented::new(self.clone(), future)
    }

    /// What tells the group from others that live, for what the heap's
    /// [picture](crate::inspect::heap_map) says. None where the group has no record.
    #[must_use]
    pub fn id(&self) -> Option<GroupId> {
        self.record().and_then(place::id)
    }

    /// The group's name, as far as it is kept. Calls `look` with it.
    pub fn with_name<T>(&self, look: impl FnOnce(&str) -> T) -> T {
        match self.record() {
            Some(record) => look(record.name().as_str()),
            None => look(self.name.unwrap_or_default()),
        }
    }

    /// Requested bytes of the group's live blocks, large ones included: exact where no other thread
    /// is allocating or freeing them meanwhile. Counts what comes through `GlobalAlloc`. Looks at
    /// one word for each thread that was in the group at once.
    #[must_use]
    pub fn requested(&self) -> usize {
        self.record().map_or(0, place::requested)
    }

    /// Bytes that the group holds, which its limits are about: carved blocks, used and free, and
    /// the ranges of large allocations.
    #[must_use]
    pub fn held(&self) -> usize {
        self.record().map_or(0, place::held)
    }

    /// Statistics of the group. Exact where no other thread is allocating or freeing its blocks
    /// meanwhile. Stops nobody, and does not allocate; looks at every slab of the process.
    #[must_use]
    pub fn stats(&self) -> GroupStats {
        self.record().map_or_else(GroupStats::default, place::stats)
    }

    /// Sets the hard limit, in bytes that the group [holds](Self::held); `usize::MAX` for none.
    /// Allocations in the group that would pass it are answered with null. May change at any time:
    /// a group above a new limit gets nothing until it is below.
    pub fn limit(&self, bytes: usize) {
        if let Some(record) = self.record() {
            place::set_hard(record, bytes);
        }
    }

    /// Sets the soft limit, in bytes that the group [holds](Self::held); `usize::MAX` for none. A
    /// thread in the group that notices that it has been passed calls `callback` with the group's
    /// name and the bytes held, with no lock held: once for each passing, in the middle of an
    /// allocation. It may allocate, and must not panic.
    pub fn soft_limit(&self, bytes: usize, callback: fn(&str, usize)) {
        if let Some(record) = self.record() {
            place::set_soft(record, bytes, callback);
        }
    }

    /// Gives back what the group only keeps: takes in blocks that were freed from outside, and
    /// gives empty slabs back. Heaps that other threads in the group use are left alone, as are the
    /// last few frees of threads outside, which those keep until they free more or are idle.
    pub fn purge(&self) {
        if let Some(record) = self.record() {
            place::purge(record);
        }
    }
}

impl Clone for Group {
    fn clone(&self) -> Self {
        let record = self.record();
        if let Some(record) = record {
            record.add_handle();
        }
        Self::of(record)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // SAFETY: records are never unmapped.
        if let Some(record) = unsafe { self.record.get_mut().as_ref() } {
            record.drop_handle();
        }
    }
}

impl PartialEq for Group {
    /// Whether both are handles of one group.
    fn eq(&self, other: &Self) -> bool {
        match (self.record(), other.record()) {
            (Some(one), Some(other)) => ptr::eq(one, other),
            _ => false,
        }
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_name(|name| f.debug_tuple("Group").field(&name).finish())
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_name(|name| f.pad(name))
    }
}

/// Keeps its thread in a group; see [`Group::entered`]. It cannot go to another thread:
///
/// ```compile_fail
/// fn send(_: impl Send) {}
/// static DB: freestone::groups::Group = freestone::groups::Group::new("db");
/// send(DB.entered());
/// ```
#[must_use = "the thread leaves the group when the guard is dropped"]
pub struct Entered<'a> {
    /// None where entering had no effect.
    entry: Option<Entry>,
    group: PhantomData<&'a Group>,
    thread: PhantomData<NonNull<()>>,
}

impl fmt::Debug for Entered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entered").finish_non_exhaustive()
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        if let Some(entry) = self.entry {
            place::leave(entry);
        }
    }
}
