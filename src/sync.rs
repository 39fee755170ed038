//! Atomics and the lock: the one place that knows how threads wait.

pub(crate) mod atomic {
    pub(crate) use core::sync::atomic::{
        AtomicBool, AtomicI32, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering,
    };
}

#[cfg(not(target_arch = "x86_64"))]
use atomic::Ordering;

use crate::sys;

/// A value that one thread writes and any thread may read: relaxed both ways, an ordinary
/// load and store.
pub(crate) struct Seen<A>(A);

macro_rules! seen {
    ($atomic:ident, $value:ident) => {
        impl Seen<atomic::$atomic> {
            pub(crate) const fn new(value: $value) -> Self {
                Self(atomic::$atomic::new(value))
            }

            #[inline(always)]
            pub(crate) fn get(&self) -> $value {
                self.0.load(atomic::Ordering::Relaxed)
            }

            #[inline(always)]
            pub(crate) fn set(&self, value: $value) {
                self.0.store(value, atomic::Ordering::Relaxed);
            }
        }
    };
}

seen!(AtomicU8, u8);
seen!(AtomicU32, u32);
seen!(AtomicU64, u64);
seen!(AtomicUsize, usize);

/// Adds one to the counter at `OFFSET` in `record`, which only the calling thread writes. Whether
/// it is zero now.
///
/// # Safety
/// There is an `AtomicI32`, as long as the call runs.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) unsafe fn increment<const OFFSET: usize>(record: *const u8) -> bool {
    // A relaxed load and store; but the compiler makes three instructions and a test of them,
    // where the processor's own read-modify-write sets the flags as well.
    // SAFETY: the counter is writable, and an aligned 32-bit access is atomic on this processor.
    unsafe {
        core::arch::asm!(
            "inc dword ptr [{record} + {offset}]",
            "jne {other}",
            record = in(reg) record,
            offset = const OFFSET,
            other = label { return false },
            options(nostack),
        );
    }
    core::hint::cold_path();
    true
}

/// Adds one to the counter at `OFFSET` in `record`, which only the calling thread writes. Whether
/// it is zero now.
///
/// # Safety
/// There is an `AtomicI32`, as long as the call runs.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub(crate) unsafe fn increment<const OFFSET: usize>(record: *const u8) -> bool {
    // SAFETY: forwarded to the caller.
    let counter = unsafe { &*record.byte_add(OFFSET).cast::<atomic::AtomicI32>() };
    let value = counter.load(Ordering::Relaxed).wrapping_add(1);
    // Release, as every store is on x86-64: who sees the count sees what was written before it.
    counter.store(value, Ordering::Release);
    value == 0
}

/// Tries of each kind before the next, more patient one.
const SPINS: u32 = 100;
const YIELDS: u32 = 20;
/// A waiter under `SCHED_FIFO` that only yields can starve the holder, so at last it sleeps.
const SLEEP_NS: i64 = 50_000;

/// A lock whose waiter spins, then yields, then sleeps. `T` is reached only while it is held.
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
        match self.0.try_lock() {
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
                sys::yield_now();
            } else {
                sys::sleep_ns(SLEEP_NS);
            }
        }
    }

    /// The lock, if nobody holds it.
    #[inline]
    pub(crate) fn try_lock(&self) -> Option<Guard<'_, T>> {
        self.0.try_lock()
    }

    /// The lock, if it can be had before this would begin to sleep: for those who would rather not
    /// have it than wait for themselves.
    pub(crate) fn lock_within_a_while(&self) -> Option<Guard<'_, T>> {
        for tries in 0..SPINS + YIELDS {
            let guard = self.0.try_lock();
            if guard.is_some() {
                return guard;
            }
            if tries < SPINS { core::hint::spin_loop() } else { sys::yield_now() }
        }
        None
    }

    /// Takes the lock and keeps it taken, across `fork`.
    pub(crate) fn hold(&self) {
        core::mem::forget(self.lock());
    }

    /// Releases what [`Self::hold`] took.
    ///
    /// # Safety
    /// The calling thread, or the thread it is the forked image of, called `hold`.
    pub(crate) unsafe fn release(&self) {
        // SAFETY: the lock is held through `hold`, and its guard was forgotten.
        unsafe { self.0.force_unlock() }
    }
}
