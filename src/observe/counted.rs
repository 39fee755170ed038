//! Exact counts of a thread's calls, for those who ask for them by the type of their allocator.

use core::cell::Cell;
use core::marker::PhantomData;
use std::alloc::{GlobalAlloc, Layout};

/// An allocator that counts the calls of each thread, and passes them on. The counts are exact, and
/// cost some instructions a call; so they are not in every program but in those, tests above
/// all, that choose this type:
///
/// ```
/// use freestone::Freestone;
/// use freestone::counting::{Counted, Region};
///
/// #[global_allocator]
/// static ALLOC: Counted<Freestone> = Counted::new(Freestone::new());
///
/// # fn main() {
/// let region = Region::new();
/// let sum: u64 = [1, 2, 3].iter().sum();
/// assert!(region.counts().is_nothing(), "summing allocates nothing");
///
/// let boxed = Box::new(sum);
/// assert_eq!(region.counts().allocations, 1);
/// assert_eq!(region.counts().live_bytes(), 8);
/// # drop(boxed);
/// # }
/// ```
#[derive(Debug, Default)]
pub struct Counted<A>(A);

impl<A> Counted<A> {
    /// Counts the calls to `allocator`.
    #[must_use]
    pub const fn new(allocator: A) -> Self {
        Self(allocator)
    }
}

/// What one thread has asked for through a [`Counted`] allocator. Bytes as asked, not as rounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Blocks allocated.
    pub allocations: u64,
    /// Blocks freed.
    pub frees: u64,
    /// Blocks resized.
    pub resizes: u64,
    /// Requests for memory that were answered with null. Not counted as the above.
    pub failures: u64,
    /// Bytes of allocations, and by which blocks grew.
    pub bytes_allocated: u64,
    /// Bytes of frees, and by which blocks shrank.
    pub bytes_freed: u64,
}

impl Counts {
    const ZERO: Self =
        Self { allocations: 0, frees: 0, resizes: 0, failures: 0, bytes_allocated: 0, bytes_freed: 0 };

    /// Whether the allocator was not called.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::ZERO
    }

    /// Bytes allocated and not freed; below zero where more was freed than allocated.
    #[must_use]
    pub const fn live_bytes(&self) -> i64 {
        self.bytes_allocated.wrapping_sub(self.bytes_freed).cast_signed()
    }

    const fn since(&self, then: &Self) -> Self {
        Self {
            allocations: self.allocations.wrapping_sub(then.allocations),
            frees: self.frees.wrapping_sub(then.frees),
            resizes: self.resizes.wrapping_sub(then.resizes),
            failures: self.failures.wrapping_sub(then.failures),
            bytes_allocated: self.bytes_allocated.wrapping_sub(then.bytes_allocated),
            bytes_freed: self.bytes_freed.wrapping_sub(then.bytes_freed),
        }
    }
}

thread_local! {
    static COUNTS: Cell<Counts> = const { Cell::new(Counts::ZERO) };
}

/// Changes the calling thread's counts. Not inlined, for the same reason as [`now`].
#[inline(never)]
fn count(change: impl FnOnce(&mut Counts)) {
    // Without a destructor the counts are there as long as the thread; the error never happens.
    let _ = COUNTS.try_with(|counts| {
        let mut now = counts.get();
        change(&mut now);
        counts.set(now);
    });
}

fn counted(answer: *mut u8, change: impl FnOnce(&mut Counts)) -> *mut u8 {
    count(|counts| {
        if answer.is_null() {
            counts.failures = counts.failures.wrapping_add(1);
        } else {
            change(counts);
        }
    });
    answer
}

fn add(to: &mut u64, what: usize) {
    *to = to.wrapping_add(what as u64);
}

// SAFETY: every call is forwarded unchanged.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Counted<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract is the inner allocator's contract.
        counted(unsafe { self.0.alloc(layout) }, |counts| {
            add(&mut counts.allocations, 1);
            add(&mut counts.bytes_allocated, layout.size());
        })
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(|counts| {
            add(&mut counts.frees, 1);
            add(&mut counts.bytes_freed, layout.size());
        });
        // SAFETY: as above.
        unsafe { self.0.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        counted(unsafe { self.0.alloc_zeroed(layout) }, |counts| {
            add(&mut counts.allocations, 1);
            add(&mut counts.bytes_allocated, layout.size());
        })
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: as above.
        counted(unsafe { self.0.realloc(pointer, layout, new_size) }, |counts| {
            add(&mut counts.resizes, 1);
            add(&mut counts.bytes_allocated, new_size.saturating_sub(layout.size()));
            add(&mut counts.bytes_freed, layout.size().saturating_sub(new_size));
        })
    }
}

/// A stretch of one thread's calls, from its making on. Only a program whose allocator is a
/// [`Counted`] one has counts.
///
/// It stays with its thread, whose counts it compares:
///
/// ```compile_fail,E0277
/// let region = freestone::counting::Region::new();
/// std::thread::spawn(move || region.counts());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Region {
    before: Counts,
    /// Neither `Send` nor `Sync`.
    of_this_thread: PhantomData<*const Counts>,
}

impl Region {
    /// A region that begins here.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it says what time it is: no default")]
    pub fn new() -> Self {
        Self { before: now(), of_this_thread: PhantomData }
    }

    /// What the thread has asked for since the beginning.
    #[must_use]
    pub fn counts(&self) -> Counts {
        now().since(&self.before)
    }
}

/// Not inlined: code that switches stacks may call this on one thread after the other, and the
/// compiler would keep the address of the first one's counts. See `heap::slot`.
#[inline(never)]
fn now() -> Counts {
    COUNTS.try_with(Cell::get).unwrap_or(Counts::ZERO)
}
