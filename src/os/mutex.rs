//! A lock for memory that several processes share. It tells its next holder that the last one has
//! died.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;

use super::Result;

mod robust {
    unsafe extern "C" {
        pub(super) fn pthread_mutexattr_setrobust(
            attributes: *mut libc::pthread_mutexattr_t,
            robustness: libc::c_int,
        ) -> libc::c_int;
        pub(super) fn pthread_mutex_consistent(mutex: *mut libc::pthread_mutex_t) -> libc::c_int;
    }
    /// `PTHREAD_MUTEX_ROBUST`, in glibc and musl.
    pub(super) const ROBUST: libc::c_int = 1;
}

/// A robust, process-shared `pthread_mutex_t`, see pthread_mutexattr_setrobust(3).
#[repr(transparent)]
pub(crate) struct SharedMutex(UnsafeCell<libc::pthread_mutex_t>);

/// How a lock was acquired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Locked {
    /// From a holder that released it.
    Fresh,
    /// From a holder that died: the guarded data may be half-changed.
    Inherited,
}

impl SharedMutex {
    /// Initialises the lock, whatever its memory held (pthread_mutex_init(3)).
    ///
    /// # Safety
    /// Nobody else uses it yet.
    pub(crate) unsafe fn init(&self) -> Result<()> {
        let mut attributes = MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
        let at = attributes.as_mut_ptr();
        // SAFETY: the attributes are initialised first; the mutex is nobody else's yet.
        unsafe {
            done(libc::pthread_mutexattr_init(at))?;
            done(libc::pthread_mutexattr_setpshared(at, libc::PTHREAD_PROCESS_SHARED))?;
            done(robust::pthread_mutexattr_setrobust(at, robust::ROBUST))?;
            // A thread that holds it and locks it again, in a signal handler, gets `EDEADLK` and
            // does not hang.
            done(libc::pthread_mutexattr_settype(at, libc::PTHREAD_MUTEX_ERRORCHECK))?;
            done(libc::pthread_mutex_init(self.0.get(), at))
        }
    }

    /// pthread_mutex_lock(3). `ENOTRECOVERABLE` after a holder's death that was not
    /// [mended](Self::mend).
    pub(crate) fn lock(&self) -> Result<Locked> {
        // SAFETY: the mutex was made by `init`.
        match unsafe { libc::pthread_mutex_lock(self.0.get()) } {
            0 => Ok(Locked::Fresh),
            libc::EOWNERDEAD => Ok(Locked::Inherited),
            errno => Err(super::Errno(errno)),
        }
    }

    /// pthread_mutex_consistent(3): the data that an [`Inherited`](Locked::Inherited) lock guards
    /// is whole again.
    ///
    /// # Safety
    /// The calling thread holds the lock.
    pub(crate) unsafe fn mend(&self) {
        // SAFETY: forwarded to the caller.
        let _ = unsafe { robust::pthread_mutex_consistent(self.0.get()) };
    }

    /// pthread_mutex_unlock(3).
    ///
    /// # Safety
    /// The calling thread holds the lock.
    pub(crate) unsafe fn unlock(&self) {
        // SAFETY: forwarded to the caller.
        let _ = unsafe { libc::pthread_mutex_unlock(self.0.get()) };
    }
}

fn done(status: libc::c_int) -> Result<()> {
    if status == 0 { Ok(()) } else { Err(super::Errno(status)) }
}
