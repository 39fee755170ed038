//! Memory that the kernel refuses: a limit for the whole run, moments of refusal, and the
//! harness's own exemption from both.
//!
//! Everything is the soft `RLIMIT_AS` of the process. With it lowered below what is mapped
//! already, `mmap`, and `mremap` to a greater length, fail with `ENOMEM`.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use freestone::Freestone;

/// Who wants which limit. The limit in force follows from it: none while anything of the
/// harness's own is exempt, else the least while a moment of refusal lasts, else `whole_run`.
struct Wishes {
    whole_run: libc::rlim_t,
    refusals: usize,
    exemptions: usize,
}

static WISHES: Mutex<Wishes> =
    Mutex::new(Wishes { whole_run: libc::RLIM_INFINITY, refusals: 0, exemptions: 0 });
/// Whether null is an ordinary answer throughout.
static LIMITED: AtomicBool = AtomicBool::new(false);
/// Twice the number of refusals begun or ended, plus one while any lasts.
static MOMENT: AtomicU64 = AtomicU64::new(0);
/// Set in a forked child, where the lock may belong to a thread that is not there.
static ALONE: AtomicBool = AtomicBool::new(false);

fn set(limit: libc::rlim_t) {
    let mut limits = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limits` is readable and writable for the calls.
    unsafe {
        libc::getrlimit(libc::RLIMIT_AS, &raw mut limits);
        limits.rlim_cur = limit.min(limits.rlim_max);
        libc::setrlimit(libc::RLIMIT_AS, &raw const limits);
    }
}

fn change(change: impl FnOnce(&mut Wishes)) {
    let mut wishes = WISHES.lock().unwrap_or_else(PoisonError::into_inner);
    change(&mut wishes);
    let limit = match *wishes {
        Wishes { exemptions: 1.., .. } => libc::RLIM_INFINITY,
        Wishes { refusals: 1.., .. } => 0,
        Wishes { whole_run, .. } => whole_run,
    };
    set(limit);
}

/// Limits the process's address space from here on.
pub(crate) fn limit_whole_run(bytes: usize) {
    LIMITED.store(true, Ordering::Relaxed);
    change(|wishes| wishes.whole_run = bytes as libc::rlim_t);
}

/// The limit stays, but explains no null answer any more: there is room below it again.
pub(crate) fn expect_recovery() {
    LIMITED.store(false, Ordering::Relaxed);
}

/// Takes the limit of the whole run away.
pub(crate) fn unlimit() {
    change(|wishes| wishes.whole_run = libc::RLIM_INFINITY);
}

/// Begins a moment in which the kernel refuses memory to every thread.
pub(crate) fn begin_refusal() {
    change(|wishes| {
        wishes.refusals += 1;
        mark(wishes);
    });
}

/// Ends it, as far as this caller is concerned.
pub(crate) fn end_refusal() {
    change(|wishes| wishes.refusals -= 1);
    // Only now, with the limit lifted: an answer may be blamed on it up to here.
    change(|wishes| mark(wishes));
}

fn mark(wishes: &Wishes) {
    let next = (MOMENT.load(Ordering::Relaxed) / 2 + 1) * 2;
    MOMENT.store(next + u64::from(wishes.refusals != 0), Ordering::SeqCst);
}

/// Lifts every limit in a forked child, for as long as it lives.
pub(crate) fn lift_in_child() {
    ALONE.store(true, Ordering::Relaxed);
    LIMITED.store(false, Ordering::Relaxed);
    MOMENT.store(0, Ordering::Relaxed);
    set(libc::RLIM_INFINITY);
}

/// A point in time that a null answer may be explained by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(u64);

impl Moment {
    pub(crate) fn now() -> Self {
        Self(MOMENT.load(Ordering::SeqCst))
    }

    /// Whether memory may have been refused with cause between this moment and now.
    pub(crate) fn explains_null(self) -> bool {
        let now = MOMENT.load(Ordering::SeqCst);
        LIMITED.load(Ordering::Relaxed) || self.0 % 2 == 1 || self.0 != now
    }
}

/// The global allocator of this program: Freestone, but what the harness itself needs it gets,
/// beside any limit. Blocks under test do not come this way: they are asked of Freestone itself.
pub(crate) struct Exempt(Freestone);

impl Exempt {
    pub(crate) const fn new() -> Self {
        Self(Freestone::new())
    }
}

/// `ask`'s answer; a second one, without limits, if the first was null.
fn insist(ask: impl Fn() -> *mut u8) -> *mut u8 {
    let answer = ask();
    if !answer.is_null() || ALONE.load(Ordering::Relaxed) {
        return answer;
    }
    exempt(ask)
}

/// Runs what cannot answer a refusal, beside any limit. Other threads profit meanwhile.
pub(crate) fn exempt<T>(run: impl FnOnce() -> T) -> T {
    change(|wishes| wishes.exemptions += 1);
    let result = run();
    change(|wishes| wishes.exemptions -= 1);
    result
}

// SAFETY: every answer is Freestone's own.
unsafe impl GlobalAlloc for Exempt {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: forwarded to the caller.
        insist(|| unsafe { self.0.alloc(layout) })
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: forwarded to the caller.
        unsafe { self.0.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: forwarded to the caller.
        insist(|| unsafe { self.0.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: forwarded to the caller; after null the block is as before.
        insist(|| unsafe { self.0.realloc(pointer, layout, new_size) })
    }
}
