//! The lock: how threads wait for one another, and what a child does about locks of threads that it lacks.

use crate::base::atomic::{AtomicPtr, AtomicU32, Ordering};
use crate::os;

/// Tries of each kind before the next, more patient one.
const SPINS: u32 = 100;
const YIELDS: u32 = 20;
/// A waiter under `SCHED_FIFO` that only yields can starve the holder, so at last it sleeps.
const SLEEP_NS: i64 = 50_000;

/// What the process's mark holds once its locks are known to be its own threads'. A child finds
/// [`COPIED`] there.
const OWN: u32 = 1;
const COPIED: u32 = 0;
const MENDING: u32 = 2;

/// The mark until there is one that the kernel wipes in children.
static FIRST_MARK: AtomicU32 = AtomicU32::new(OWN);
static MARK: AtomicPtr<AtomicU32> = AtomicPtr::new((&raw const FIRST_MARK).cast_mut());

/// What mends the locks of a copied process.
static MEND: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

fn mark() -> &'static AtomicU32 {
    // SAFETY: the mark is a static, or memory that is never unmapped.
    unsafe { &*MARK.load(Ordering::Relaxed) }
}

/// From now on the first use of a lock in a child calls `mend` before anything else. `wiped`: a word
/// that reads as zero in children, where the kernel has such memory; without it, children
/// must call [`is_copied`].
pub(crate) fn on_copy(mend: fn(), wiped: Option<&'static AtomicU32>) {
    MEND.store(mend as *mut (), Ordering::Relaxed);
    if let Some(wiped) = wiped {
        wiped.store(OWN, Ordering::Relaxed);
        MARK.store(core::ptr::from_ref(wiped).cast_mut(), Ordering::Release);
    }
}

/// Says that the calling thread is the only one of a new process, where the kernel does not.
pub(crate) fn is_copied() {
    if core::ptr::eq(mark(), &raw const FIRST_MARK) {
        FIRST_MARK.store(COPIED, Ordering::Relaxed);
    }
}

/// Ends what other threads of the parent have begun, in a child that takes its first lock.
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
            // SAFETY: only `on_copy` writes there, and it writes such a function.
            unsafe { core::mem::transmute::<*mut (), fn()>(mend)() };
        }
        mark.store(OWN, Ordering::Release);
    }
    // Another thread of the child was first.
    while mark.load(Ordering::Acquire) == MENDING {
        os::yield_now();
    }
}

/// A lock whose waiter spins, then yields, then sleeps. `T` is reached only while it is held.
///
/// A child may be the copy of a process in which another thread held the lock. Nobody in the
/// child would release it, so the child's first use of any lock [mends](Self::mend) each of them.
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

    /// The lock, if it can be had before this would begin to sleep: for those who would rather not
    /// have it than wait for themselves.
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

    /// In a child: where a thread that the child lacks held the lock, lets `mend` bring the value into
    /// order, and releases the lock.
    ///
    /// # Safety
    /// The function that [`on_copy`] was given calls it, so nobody in this process holds the lock yet.
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
