//! Threads straight from pthreads: with stacks as small as wanted, and a refusal that can be
//! answered. The standard library's threads map a signal stack as they start and panic where
//! the kernel refuses it, which is what a run under a memory limit brings about.

use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr;

/// A thread that must be joined.
#[derive(Debug)]
pub(crate) struct Thread(libc::pthread_t);

// SAFETY: a thread's name; any thread may join it, once.
unsafe impl Send for Thread {}

struct Start<T> {
    work: T,
    body: fn(T),
}

/// Runs `body` on `work` in a new thread. Gives the work back where there can't be one.
pub(crate) fn spawn<T: Send + 'static>(stack_bytes: usize, work: T, body: fn(T)) -> Result<Thread, T> {
    let start = Box::into_raw(Box::new(Start { work, body }));
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let mut thread = MaybeUninit::<libc::pthread_t>::uninit();
    // SAFETY: the attributes are initialised before use and destroyed after it; `start` is
    // the new thread's alone if there is one.
    let status = unsafe {
        libc::pthread_attr_init(attributes.as_mut_ptr());
        libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), stack_bytes);
        let status =
            libc::pthread_create(thread.as_mut_ptr(), attributes.as_ptr(), trampoline::<T>, start.cast());
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        status
    };
    if status == 0 {
        // SAFETY: pthread_create succeeded and so wrote the thread.
        return Ok(Thread(unsafe { thread.assume_init() }));
    }
    // SAFETY: no thread was made, so the box is still ours.
    Err(unsafe { Box::from_raw(start) }.work)
}

extern "C" fn trampoline<T>(start: *mut c_void) -> *mut c_void {
    // SAFETY: `spawn` made the box for this thread.
    let Start { work, body } = *unsafe { Box::from_raw(start.cast::<Start<T>>()) };
    body(work);
    ptr::null_mut()
}

impl Thread {
    /// The calling thread, to be joined by another.
    pub(crate) fn current() -> Self {
        // SAFETY: no preconditions.
        Self(unsafe { libc::pthread_self() })
    }

    /// Waits until the thread and its destructors have run.
    pub(crate) fn join(self) {
        // SAFETY: `self` is the only name under which the thread is joined.
        unsafe { libc::pthread_join(self.0, ptr::null_mut()) };
    }
}
