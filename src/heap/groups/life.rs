//! How groups are made, what their idle heaps give back, and how they end.
//!
//! A group ends when no handle names it and none of its heaps has a slab. Until then its record
//! waits on a list, which is looked through when groups are made, when handles go, and by a purge.

use core::iter;
use core::ptr;

use super::{ENDED, Heap, LISTED, NEWEST, Name, Record, USED, chain, heaps_from};
use crate::base::atomic::Ordering;
use crate::block::size_class::Class;
use crate::heap::{tally, thread};
use crate::memory::records;
use crate::os::KeepErrno;
use crate::os::lock::Lock;
use crate::policy::books::BlocksAndBytes;

/// Records that wait.
struct Lists {
    /// Of groups that have ended.
    free: *const Record,
    /// Of groups without a handle: those to be looked at next, and those that were.
    retired: *const Record,
    seen: *const Record,
}

// SAFETY: the records are touched under the lists' lock, or by who has taken them off.
unsafe impl Send for Lists {}

impl Lists {
    const NONE: Self = Self { free: ptr::null(), retired: ptr::null(), seen: ptr::null() };
}

static LISTS: Lock<Lists> = Lock::new(Lists::NONE);

/// Retired groups that are looked at when one is made or retired.
const STEP: usize = 4;

/// Forgets the lists, if another thread of the parent was changing them. For a child.
///
/// # Safety
/// As for [`Lock::mend`].
pub(in crate::heap) unsafe fn mend() {
    // SAFETY: forwarded to the caller.
    unsafe { LISTS.mend(|lists| *lists = Lists::NONE) }
}

/// Rebuilds the lists of the heaps that the child may use, if a helper was changing them: those of
/// the calling thread's chain, and idle ones. For a child.
///
/// # Safety
/// As for [`Lock::mend`]. The depot is in order.
pub(in crate::heap) unsafe fn mend_heaps() {
    let idle = || tally::heaps().filter(|heap| heap.group().is_some() && heap.is_let_go());
    for heap in chain().chain(idle()) {
        // SAFETY: forwarded to the caller.
        unsafe { heap.mend_lists() };
    }
}

fn pop(list: &mut *const Record) -> Option<&'static Record> {
    // SAFETY: records are never unmapped.
    let record = unsafe { list.as_ref() }?;
    *list = record.next.replace(ptr::null());
    Some(record)
}

fn push(list: &mut *const Record, record: &'static Record) {
    record.next.set(*list);
    *list = record;
}

/// A new group, with one handle. None where there is no memory for its record.
pub(crate) fn create(name: &str) -> Option<&'static Record> {
    let _keep = KeepErrno::new();
    sweep(STEP);
    // A statement of its own, for the lock.
    let free = pop(&mut LISTS.lock().free);
    let record = free.or_else(fresh)?;
    record.name.set(Name::of(name));
    // Release: who walks over all records sees the name.
    record.handles.store(1, Ordering::Release);
    USED.store(true, Ordering::Relaxed);
    Some(record)
}

fn fresh() -> Option<&'static Record> {
    let fresh = records::take(size_of::<Record>())?.cast::<Record>();
    // SAFETY: the memory is fresh, aligned, long enough, and never taken back.
    unsafe { fresh.write(Record::new()) };
    // SAFETY: as above.
    let record = unsafe { fresh.as_ref() };
    let mut newest = NEWEST.load(Ordering::Relaxed);
    loop {
        record.older.store(newest, Ordering::Relaxed);
        match NEWEST.compare_exchange_weak(newest, fresh.as_ptr(), Ordering::Release, Ordering::Relaxed) {
            Ok(_) => return Some(record),
            Err(now) => newest = now,
        }
    }
}

/// Every group that lives, in no order. Of each the caller gets a handle. Ends groups that are
/// empty before.
pub(crate) fn living() -> impl Iterator<Item = &'static Record> {
    let keep = KeepErrno::new();
    sweep(usize::MAX);
    drop(keep);
    // SAFETY: records are never unmapped.
    let newest = unsafe { NEWEST.load(Ordering::Acquire).as_ref() };
    // SAFETY: as above.
    iter::successors(newest, |record| unsafe { record.older.load(Ordering::Relaxed).as_ref() })
        .filter(|record| record.add_handle_if_live())
}

impl Record {
    /// Counts one handle less. After the last one the group ends once it is empty.
    pub(crate) fn drop_handle(&'static self) {
        // A walk may make another handle after the last one, as may a thread that has forgotten its
        // guard.
        let less = |handles: usize| Some(if handles == 1 { LISTED } else { handles.wrapping_sub(1) });
        if self.handles.fetch_update(Ordering::AcqRel, Ordering::Relaxed, less) == Ok(1) {
            let _keep = KeepErrno::new();
            push(&mut LISTS.lock().retired, self);
            sweep(STEP);
        }
    }

    /// Ends the group if it has no handle, is empty, and all its heaps are idle.
    fn end(&'static self) -> bool {
        let newest = self.heaps.load(Ordering::Acquire);
        let mut claimed = 0_usize;
        let is_empty = heaps_from(newest).all(|heap| {
            if !heap.claim() {
                return false;
            }
            claimed = claimed.wrapping_add(1);
            heap.trim();
            heap.units.load(Ordering::Relaxed) == 0
        });
        let has_ended = is_empty && self.has_no_others() && self.close(newest);
        if has_ended {
            self.books.begin(self.counted(), self.adopted());
        }
        heaps_from(newest).take(claimed).for_each(Heap::let_go);
        has_ended
    }

    /// Whether the group has no blocks outside of its slabs.
    fn has_no_others(&self) -> bool {
        self.books.large().blocks == 0 && self.books.sampled().blocks == 0
    }

    /// Lets nobody make a handle from now on, if there is none, and no heap newer than `newest`.
    /// The caller has claimed that one and the older ones, and they are empty.
    fn close(&self, newest: *const Heap) -> bool {
        if self.handles.compare_exchange(LISTED, ENDED, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return false;
        }
        // Who had a handle for a while may have entered: then with a new heap.
        let is_empty = ptr::eq(self.heaps.load(Ordering::Acquire), newest);
        if !is_empty {
            self.handles.fetch_xor(ENDED | LISTED, Ordering::AcqRel);
        }
        is_empty
    }

    /// Blocks freed from outside that the group's heaps have adopted, ever; both wrap.
    pub(crate) fn adopted(&self) -> BlocksAndBytes {
        let mut adopted = BlocksAndBytes::NONE;
        for heap in self.heaps() {
            // Who adopts, counts before the lock is released.
            let _lists = heap.lists.lock_within_a_while();
            for (class, tally) in heap.tally.classes().iter().enumerate() {
                let block_bytes = Class::at(class).map_or(0, |class| class.shape().block as usize);
                adopted.add(tally.remote() as usize, block_bytes);
            }
        }
        adopted
    }
}

/// Looks at up to `most` groups without a handle, and ends those that are empty.
fn sweep(most: usize) {
    for _ in 0..most {
        // A statement of its own: the depot is not to be called under the lock.
        let retired = pop(&mut LISTS.lock().retired);
        let Some(record) = retired else { break };
        let has_ended = record.end();
        let mut lists = LISTS.lock();
        let Lists { free, seen, .. } = &mut *lists;
        push(if has_ended { free } else { seen }, record);
    }
    let mut lists = LISTS.lock();
    if lists.retired.is_null() {
        lists.retired = core::mem::replace(&mut lists.seen, ptr::null());
    }
}

impl Heap {
    /// Whether no thread uses the heap, one of a group. The answer may be outdated at once.
    fn is_let_go(&self) -> bool {
        !self.member.busy.load(Ordering::Relaxed)
    }
}

/// Trims the heap, one of a group, if it is idle.
fn trim_if_idle(heap: &'static Heap) {
    if heap.claim() {
        heap.trim();
        heap.let_go();
    }
}

/// Trims the idle heaps of all groups, and ends groups that are empty.
pub(crate) fn trim_idle() {
    tally::heaps().filter(|heap| heap.group().is_some()).for_each(trim_if_idle);
    sweep(usize::MAX);
}

/// Publishes what the calling thread has freed. Trims the heaps of `record`'s group that are idle,
/// or the calling thread's.
pub(crate) fn purge(record: &Record) {
    // The thread may itself have freed blocks of the group from outside.
    chain().for_each(Heap::publish_sent);
    chain().filter(|heap| heap.group().is_some_and(|group| ptr::eq(group, record))).for_each(Heap::trim);
    record.heaps().for_each(trim_if_idle);
}

/// Gives back what the calling thread's group only keeps, after its limit has refused a request.
#[cold]
pub(crate) fn trim_refused() {
    let _keep = KeepErrno::new();
    if let Some(record) = thread::heap().group() {
        purge(record);
    }
}
