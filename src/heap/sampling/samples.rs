//! Taking samples, and following them to their end.

use core::ptr::{self, NonNull};

use super::records::Records;
use super::sampler::weight;
use crate::base::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::block::free_list::Block;
use crate::block::size_class::Class;
use crate::heap::groups::{self, Name, Record};
use crate::heap::thread;
use crate::heap::{Found, Heap, tally};
use crate::memory::slab::{Inbox, Slab};
use crate::os::fatal;
use crate::os::lock::Lock;

pub(crate) use super::records::Sample;

/// Frames kept of a stack.
const DEPTH: usize = 64;

/// The heap of sampled blocks. No thread owns it, so each free of such a block takes the slow path.
/// Used under the lock of [`RECORDS`].
static SAMPLED: Heap = Heap::new();

static RECORDS: Lock<Records> = Lock::new(Records::new());

/// How many live large allocations are sampled. If none is, frees of large blocks skip the records.
static LARGE: AtomicUsize = AtomicUsize::new(0);

static PREPARED: AtomicBool = AtomicBool::new(false);

/// Once, before the first sample.
pub(crate) fn prepare() {
    if !PREPARED.swap(true, Ordering::Relaxed) {
        tally::enlist(&SAMPLED);
    }
}

/// Whether the heap of sampled blocks was given up: no small block is sampled any more.
static IS_LOST: AtomicBool = AtomicBool::new(false);

/// Gives up the records, and the heap of sampled blocks, that another thread of the parent was
/// changing. For a child.
///
/// # Safety
/// As for [`Lock::mend`].
pub(crate) unsafe fn mend() {
    let forget = |records: &mut Records| {
        // Not dropped: its mappings may be half changed.
        core::mem::forget(core::mem::replace(records, Records::new()));
        LARGE.store(0, Ordering::Relaxed);
        IS_LOST.store(true, Ordering::Relaxed);
    };
    // SAFETY: forwarded to the caller.
    unsafe { RECORDS.mend(forget) }
}

/// Calls `look` with the records, under their lock. `look` must not allocate.
pub(super) fn with_records<T>(look: impl FnOnce(&Records) -> T) -> T {
    look(&RECORDS.lock())
}

/// Whether `home` is that of sampled blocks.
pub(crate) fn is_home(home: *const Inbox) -> bool {
    ptr::eq(home, SAMPLED.inbox()) && !IS_LOST.load(Ordering::Relaxed)
}

/// Gives back the empty slabs of the heap of sampled blocks.
pub(crate) fn trim() {
    let _records = RECORDS.lock();
    if !IS_LOST.load(Ordering::Relaxed) {
        SAMPLED.trim();
    }
}

/// Nothing that the calling thread allocates is sampled while this lives.
pub(crate) struct Quiet(Option<&'static Heap>);

impl Quiet {
    pub(crate) fn new() -> Self {
        let heap = thread::own_heap().filter(|heap| !heap.sampler.busy.replace(true));
        Self(heap)
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if let Some(heap) = self.0 {
            heap.sampler.busy.set(false);
        }
    }
}

/// The calling thread's stack.
struct Trace {
    frames: [usize; DEPTH],
    depth: usize,
}

impl Trace {
    #[inline(never)]
    fn here() -> Self {
        let mut trace = Self { frames: [0; DEPTH], depth: 0 };
        // SAFETY: this only unwinds. The lock of the `backtrace` crate is needed for symbols only.
        unsafe {
            backtrace::trace_unsynchronized(|frame| {
                if frame.ip().is_null() {
                    return false;
                }
                let Some(frame_address) = trace.frames.get_mut(trace.depth) else { return false };
                *frame_address = frame.ip().addr();
                trace.depth = trace.depth.wrapping_add(1);
                true
            });
        }
        trace
    }

    fn frames(&self) -> &[usize] {
        self.frames.get(..self.depth).unwrap_or_default()
    }
}

/// A sampled block of `class`, if the allocation that `heap` had no block at hand for is to be
/// sampled.
pub(crate) fn sample(heap: &'static Heap, class: Class) -> Option<Found> {
    let bytes = class.shape().block as usize;
    let mean = heap.sampler.falls_due(bytes)?;
    let _quiet = Quiet::new();
    let trace = Trace::here();
    let group = heap.group();
    let mut records = RECORDS.lock();
    if IS_LOST.load(Ordering::Relaxed) {
        return None;
    }
    let stack = records.prepare(trace.frames(), name_of(group))?;
    if !groups::sampled(group, bytes) {
        return None;
    }
    let Some(found) = SAMPLED.refill(class) else {
        groups::sampled_freed(group, bytes, 0);
        return None;
    };
    records.add(found.block.address(), stack, weight(bytes, mean), group);
    Some(found)
}

fn name_of(group: Option<&Record>) -> Name {
    group.map_or(Name::NONE, Record::name)
}

/// Frees a sampled block, for which `requested` bytes were asked. The calling thread has counted
/// them as freed.
pub(crate) fn free(slab: &'static Slab, block: Block, requested: usize) {
    let mut records = RECORDS.lock();
    let sample = records.take(block.address());
    if sample.is_none() && !slab.has_block_at(block.address()) {
        return fatal::caught("free of an address that is no allocation", block.address());
    }
    let group = sample.and_then(|sample| sample.group);
    groups::sampled_freed(group, slab.block_bytes(), requested);
    SAMPLED.free(slab, block);
}

/// The group that the sampled block at `start` belongs to.
pub(crate) fn group_at(start: NonNull<u8>) -> Option<&'static Record> {
    RECORDS.lock().find(start.addr().get())?.group
}

/// Counts a large allocation of `bytes` at `start`, and samples it if it is its turn.
pub(crate) fn large_made(start: NonNull<u8>, bytes: usize) {
    let Some(heap) = thread::own_heap() else { return };
    let Some(mean) = heap.sampler.falls_due(bytes) else { return };
    let _quiet = Quiet::new();
    let trace = Trace::here();
    let mut records = RECORDS.lock();
    if let Some(stack) = records.prepare(trace.frames(), name_of(heap.group())) {
        LARGE.fetch_add(1, Ordering::Relaxed);
        // Its group counts it as every large one.
        records.add(start.addr().get(), stack, weight(bytes, mean), None);
    }
}

/// Forgets a large allocation, before it is freed.
pub(crate) fn large_freed(start: NonNull<u8>) {
    let _ = take(start);
}

/// Takes out a large allocation that may be about to move.
pub(crate) fn take(start: NonNull<u8>) -> Option<Sample> {
    if LARGE.load(Ordering::Relaxed) == 0 {
        return None;
    }
    let taken = RECORDS.lock().take(start.addr().get())?;
    LARGE.fetch_sub(1, Ordering::Relaxed);
    Some(taken)
}

/// Undoes [`take`]: the allocation stayed.
pub(crate) fn put_back(sample: Option<Sample>) {
    if let Some(sample) = sample {
        LARGE.fetch_add(1, Ordering::Relaxed);
        RECORDS.lock().put(sample);
    }
}
