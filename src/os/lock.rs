//! The lock of this process's threads. It also recovers in a forked child from threads that the
//! child lacks.
//!
//! State: the mark by which a child is recognised, and the function that recovers its locks. Both
//! are written when the allocator starts.

use crate::base::atomic::{AtomicPtr, AtomicU32, Ordering};
use crate::os;

/// Tries of a waiter that spins, and then of one that yields.
const SPINS: u32 = 100;
const YIELDS: u32 = 20;
/// Then a waiter sleeps: under `SCHED_FIFO` one that only yields can starve the holder (sched(7)).
const SLEEP_NS: u64 = 50_000;

/// The mark of a process whose locks are held by its own threads only.
const OWN: u32 = 1;
/// The mark of a child that has not used a lock yet. Zero, as the kernel leaves a wiped page.
const COPIED: u32 = 0;
/// The mark while a thread of the child recovers its locks.
const MENDING: u32 = 2;

/// The mark, until there is a word that the kernel wipes in children.
static FIRST_MARK: AtomicU32 = AtomicU32::new(OWN);
static MARK: AtomicPtr<AtomicU32> = AtomicPtr::new((&raw const FIRST_MARK).cast_mut());

/// What recovers every lock of a child. It does not unwind.
pub(crate) type Mend = extern "C-unwind" fn();

/// The function that recovers every lock of a child, a [`Mend`]; null until [`on_copy`].
static MEND: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

fn mark() -> &'static AtomicU32 {
    // Acquire: whoever sees the wiped word sees it set, and not the zero of a child.
    // SAFETY: the mark is a static, or memory that is never unmapped.
    unsafe { &*MARK.load(Ordering::Acquire) }
}

/// From now on the first use of a lock in a child calls `mend` before anything else. `wiped` is a
/// word that reads as zero in children, where the kernel has such memory; without one, children
/// must call [`is_copied`].
pub(crate) fn on_copy(mend: Mend, wiped: Option<&'static AtomicU32>) {
    MEND.store(mend as *mut (), Ordering::Relaxed);
    if let Some(wiped) = wiped {
        wiped.store(OWN, Ordering::Relaxed);
        MARK.store(core::ptr::from_ref(wiped).cast_mut(), Ordering::Release);
    }
}

/// Called in a forked child: marks the process as copied, where no wiped word does.
pub(crate) fn is_copied() {
    if core::ptr::eq(mark(), &raw const FIRST_MARK) {
        FIRST_MARK.store(COPIED, Ordering::Relaxed);
    }
}

/// Recovers the locks of a child that uses its first one.
#[inline(always)]
fn own_process() {
    if mark().load(Ordering::Acquire) != OWN {
        mend_once();
    }
}

#[cold]
#[inline(never)]
fn mend_once() {
    let mark = mark();
    if mark.compare_exchange(COPIED, MENDING, Ordering::Acquire, Ordering::Acquire).is_ok() {
        let mend = MEND.load(Ordering::Relaxed);
        if !mend.is_null() {
            // SAFETY: only `on_copy` writes there, and it writes such a function, which does not
            // unwind. Called as one that cannot: else every caller of a lock would have code for an
            // unwinding that never is.
            unsafe { core::mem::transmute::<*mut (), extern "C" fn()>(mend)() };
        }
        mark.store(OWN, Ordering::Release);
    }
    // Another thread of the child was first.
    while mark.load(Ordering::Acquire) == MENDING {
        os::yield_now();
    }
}

/// A lock whose waiter spins, then yields, then sleeps. `T` is reached only while the lock is held.
///
/// A child may be the copy of a process in which another thread held the lock. No thread of the
/// child would release it. So the child's first use of any lock [mends](Self::mend) all of them.
pub(crate) struct Lock<T>(spin::mutex::SpinMutex<T>);

/// Proof that a [`Lock`] is held; releases it when dropped.
pub(crate) type Guard<'a, T> = spin::mutex::SpinMutexGuard<'a, T>;

impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(spin::mutex::SpinMutex::new(value))
    }

    /// Waits for the lock.
    #[inline]
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        match self.try_lock() {
            Some(guard) => guard,
            None => self.lock_slow(),
        }
    }

    #[cold]
    fn lock_slow(&self) -> Guard<'_, T> {
        let mut tries = 0_u32;
        loop {
            if let Some(guard) = self.0.try_lock() {
                return guard;
            }
            tries = tries.saturating_add(1);
            if tries < SPINS {
                core::hint::spin_loop();
            } else if tries < SPINS + YIELDS {
                os::yield_now();
            } else {
                os::sleep_ns(SLEEP_NS);
            }
        }
    }

    /// The lock, if nobody holds it.
    #[inline]
    pub(crate) fn try_lock(&self) -> Option<Guard<'_, T>> {
        own_process();
        self.0.try_lock()
    }

    /// The lock, if it can be had before a waiter would sleep. For callers that may hold it
    /// themselves, such as signal handlers.
    pub(crate) fn lock_within_a_while(&self) -> Option<Guard<'_, T>> {
        for tries in 0..SPINS + YIELDS {
            let guard = self.try_lock();
            if guard.is_some() {
                return guard;
            }
            if tries < SPINS { core::hint::spin_loop() } else { os::yield_now() }
        }
        None
    }

    /// Takes the lock and keeps it taken until [`Self::release`].
    pub(crate) fn hold(&self) {
        core::mem::forget(self.lock());
    }

    /// Releases what [`Self::hold`] took.
    ///
    /// # Safety
    /// The calling thread called `hold`.
    pub(crate) unsafe fn release(&self) {
        // SAFETY: the lock is held through `hold`, and its guard was forgotten.
        unsafe { self.0.force_unlock() }
    }

    /// In a child: where a thread of the parent held the lock, `mend` makes the value consistent,
    /// and the lock is released.
    ///
    /// # Safety
    /// The function that [`on_copy`] was given calls it, so nobody in this process holds the lock
    /// yet.
    pub(crate) unsafe fn mend(&self, mend: impl FnOnce(&mut T)) {
        if self.0.is_locked() {
            // SAFETY: forwarded to the caller.
            unsafe { self.mend_anyway(mend) }
        }
    }

    /// As [`mend`](Self::mend), whether or not the lock was held.
    ///
    /// # Safety
    /// As there.
    pub(crate) unsafe fn mend_anyway(&self, mend: impl FnOnce(&mut T)) {
        // SAFETY: the value is the calling thread's: if the lock is held, then by nobody who runs.
        mend(unsafe { &mut *self.0.as_mut_ptr() });
        // SAFETY: as above.
        unsafe { self.0.force_unlock() }
    }
}
