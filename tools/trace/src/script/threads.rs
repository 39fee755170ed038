//! Threads that are started without asking the allocator.

use std::ffi::c_void;
use std::hint;
use std::io;
use std::mem::MaybeUninit;
use std::thread;
use std::time::Duration;

/// Looks that a waiting thread takes before it lets another run, and before it sleeps.
const LOOKS_BEFORE_YIELD: u32 = 100;
const LOOKS_BEFORE_SLEEP: u32 = 200;

/// How long it sleeps.
const NAP: Duration = Duration::from_micros(50);

/// Starts a thread that nobody joins.
///
/// # Safety
/// `argument` is good for `main`, in another thread, until that ends.
pub(super) unsafe fn start(
    main: extern "C" fn(*mut c_void) -> *mut c_void,
    argument: *mut c_void,
) -> io::Result<()> {
    let mut attributes = MaybeUninit::uninit();
    let mut thread = MaybeUninit::uninit();
    // SAFETY: the attributes are initialised before they are used; the caller answers for the
    // argument.
    let error = unsafe {
        libc::pthread_attr_init(attributes.as_mut_ptr());
        libc::pthread_attr_setdetachstate(attributes.as_mut_ptr(), libc::PTHREAD_CREATE_DETACHED);
        let error = libc::pthread_create(thread.as_mut_ptr(), attributes.as_ptr(), main, argument);
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        error
    };
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

/// Waits until `done`.
pub(super) fn wait_until(done: impl Fn() -> bool) {
    let mut looks = 0;
    while !done() {
        looks += 1;
        match looks {
            ..LOOKS_BEFORE_YIELD => hint::spin_loop(),
            LOOKS_BEFORE_YIELD..LOOKS_BEFORE_SLEEP => thread::yield_now(),
            _ => thread::sleep(NAP),
        }
    }
}
