//! What the background purger needs of the kernel and of threads.

use core::mem::MaybeUninit;
use core::ptr;

use super::{Errno, KeepErrno, Result, read_file};
use crate::base::atomic::AtomicU32;

/// What a thread runs.
pub(crate) type Run = extern "C-unwind" fn(*mut libc::c_void) -> *mut libc::c_void;

unsafe extern "C" {
    fn pthread_create(
        thread: *mut libc::pthread_t,
        attributes: *const libc::pthread_attr_t,
        run: Run,
        argument: *mut libc::c_void,
    ) -> libc::c_int;
}

/// Whether the calling thread, not the process's first, is the last one: the first has ended, which does
/// not end the process (pthread_exit(3)), and there is no other. By `/proc/self/stat`, see proc(5).
pub(crate) fn is_last_thread() -> bool {
    let mut buffer = [0; 512];
    let Ok(text) = read_file(c"/proc/self/stat", &mut buffer) else { return false };
    // The program's name, which may hold anything, is in parentheses before the state.
    let Some(at) = text.iter().rposition(|byte| *byte == b')') else { return false };
    let mut fields = text.get(at.wrapping_add(2)..).unwrap_or(&[]).split(|byte| *byte == b' ');
    // The first thread is a zombie as long as there are others, and counted: fields 3 and 20.
    fields.next() == Some(b"Z") && fields.nth(16) == Some(b"2")
}

/// Starts a detached thread that takes no signals. May allocate.
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
    let status = unsafe { pthread_create(thread.as_mut_ptr(), ptr::null(), run, ptr::null_mut()) };
    // SAFETY: the mask was written above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    if status != 0 {
        return Err(Errno(status));
    }
    // SAFETY: the thread was just started and is nobody else's to join.
    unsafe { libc::pthread_detach(thread.assume_init()) };
    Ok(())
}

/// `futex(FUTEX_WAIT_PRIVATE)`: sleeps while the word holds `value`, or until woken, or until the time is
/// over, or for no reason.
pub(crate) fn wait(word: &AtomicU32, value: u32, milliseconds: u64) {
    let time = libc::timespec {
        tv_sec: (milliseconds / 1_000) as libc::time_t,
        tv_nsec: (milliseconds % 1_000).wrapping_mul(1_000_000) as _,
    };
    let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the word is a live, aligned 32-bit integer, and the time is readable.
    let _ = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, value, &raw const time) };
}

/// `futex(FUTEX_WAKE_PRIVATE)`: wakes who waits on the word.
pub(crate) fn wake(word: &AtomicU32) {
    let _keep = KeepErrno::new();
    let operation = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the word is a live, aligned 32-bit integer.
    let _ = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, 1) };
}
