//! Thread keys, handlers of fork and exit, and the background purger's thread.
//!
//! Handlers and threads are `extern "C-unwind"`. Plain `extern "C"` would abort where a callee
//! unwinds, and so brings a reference to the panic machinery into the library.

use super::{Errno, Result};

/// Runs in each thread that ends with a value of its key set.
pub(crate) type ThreadEndHandler = unsafe extern "C-unwind" fn(*mut libc::c_void);
/// Runs in forked children.
pub(crate) type ForkHandler = unsafe extern "C-unwind" fn();
/// Runs when the process exits.
pub(crate) type ExitHandler = extern "C-unwind" fn();

/// The C library's functions as their handlers are declared here.
mod c {
    use super::{ExitHandler, ForkHandler, ThreadEndHandler};

    unsafe extern "C" {
        pub(super) fn pthread_key_create(
            key: *mut libc::pthread_key_t,
            at_end: Option<ThreadEndHandler>,
        ) -> libc::c_int;
        pub(super) fn pthread_atfork(
            prepare: Option<ForkHandler>,
            parent: Option<ForkHandler>,
            child: Option<ForkHandler>,
        ) -> libc::c_int;
        pub(super) fn atexit(handler: Option<ExitHandler>) -> libc::c_int;
        #[cfg(feature = "background-purge")]
        pub(super) fn pthread_create(
            thread: *mut libc::pthread_t,
            attributes: *const libc::pthread_attr_t,
            run: super::purger::Run,
            argument: *mut libc::c_void,
        ) -> libc::c_int;
    }
}

/// pthread_key_create(3). `EAGAIN` where the process has no key left, `ENOMEM` where the C library
/// has no memory.
pub(crate) fn key_create(at_end: ThreadEndHandler) -> Result<libc::pthread_key_t> {
    let mut key = 0;
    // SAFETY: `key` is writable for the call, and the handler stays as long as the process.
    match unsafe { c::pthread_key_create(&raw mut key, Some(at_end)) } {
        0 => Ok(key),
        errno => Err(Errno(errno)),
    }
}

/// pthread_setspecific(3). May allocate: glibc does for keys from 32 up.
pub(crate) fn key_set(key: libc::pthread_key_t, value: *const libc::c_void) -> Result<()> {
    // SAFETY: the key was created, and is never deleted.
    match unsafe { libc::pthread_setspecific(key, value) } {
        0 => Ok(()),
        errno => Err(Errno(errno)),
    }
}

/// pthread_atfork(3), `child` alone. May allocate.
pub(crate) fn at_fork(child: ForkHandler) -> Result<()> {
    // SAFETY: the handler stays as long as the process.
    match unsafe { c::pthread_atfork(None, None, Some(child)) } {
        0 => Ok(()),
        errno => Err(Errno(errno)),
    }
}

/// atexit(3). May allocate. The call gives no errno: its only failure is a lack of memory.
pub(crate) fn at_exit(handler: ExitHandler) -> Result<()> {
    // SAFETY: the handler stays as long as the process.
    match unsafe { c::atexit(Some(handler)) } {
        0 => Ok(()),
        _ => Err(Errno(libc::ENOMEM)),
    }
}

#[cfg(feature = "background-purge")]
pub(crate) use purger::{is_last_thread, spawn, wait, wake};

#[cfg(feature = "background-purge")]
mod purger {
    use core::mem::MaybeUninit;
    use core::ptr;

    use super::c;
    use crate::base::atomic::AtomicU32;
    use crate::os::time::timespec_of_ns;
    use crate::os::{Errno, KeepErrno, Result, read_file};

    /// A thread's function.
    pub(crate) type Run = extern "C-unwind" fn(*mut libc::c_void) -> *mut libc::c_void;

    /// Whether the calling thread is the last one and not the process's first. The first thread's
    /// end does not end the process (pthread_exit(3)). By `/proc/self/stat`, see proc_pid_stat(5);
    /// false where it is missing.
    pub(crate) fn is_last_thread() -> bool {
        let mut buffer = [0; 512];
        let Ok(text) = read_file(c"/proc/self/stat", &mut buffer) else { return false };
        // The program's name, which may hold any byte, is in parentheses before the state.
        let Some(at) = text.iter().rposition(|byte| *byte == b')') else { return false };
        let mut fields = text.get(at.wrapping_add(2)..).unwrap_or(&[]).split(|byte| *byte == b' ');
        // Field 3, the state: the first thread is a zombie as long as there are others. Field 20
        // counts it, too.
        fields.next() == Some(b"Z") && fields.nth(16) == Some(b"2")
    }

    /// pthread_create(3) and pthread_detach(3): starts a thread in which every signal is blocked.
    /// May allocate. `EAGAIN` where there may be no further thread.
    pub(crate) fn spawn(run: Run) -> Result<()> {
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        let mut before = MaybeUninit::<libc::sigset_t>::uninit();
        let mut thread = MaybeUninit::<libc::pthread_t>::uninit();
        // The new thread inherits the mask.
        // SAFETY: the sets are writable; sigfillset fills the first.
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        }
        // SAFETY: the thread's function needs no argument and lives as long as the process.
        let status = unsafe { c::pthread_create(thread.as_mut_ptr(), ptr::null(), run, ptr::null_mut()) };
        // SAFETY: the mask was written above.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
        if status != 0 {
            return Err(Errno(status));
        }
        // SAFETY: the thread was just started and is nobody else's to join.
        unsafe { libc::pthread_detach(thread.assume_init()) };
        Ok(())
    }

    /// futex(2), `FUTEX_WAIT_PRIVATE`: sleeps while the word holds `value`, until it is woken or
    /// the time is over. It may also return early (`EINTR`, `EAGAIN`): the caller looks again.
    pub(crate) fn wait(word: &AtomicU32, value: u32, milliseconds: u64) {
        let time = timespec_of_ns(milliseconds.wrapping_mul(1_000_000));
        let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
        // SAFETY: the word is a live, aligned 32-bit integer, and the time is readable.
        let _ = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, value, &raw const time) };
    }

    /// futex(2), `FUTEX_WAKE_PRIVATE`: wakes one thread that waits on the word.
    pub(crate) fn wake(word: &AtomicU32) {
        let _keep = KeepErrno::new();
        let operation = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
        // SAFETY: the word is a live, aligned 32-bit integer.
        let _ = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, 1) };
    }
}
