//! How much work a piece of code does, in a unit that other programs on the machine do not change.

use std::sync::{Mutex, PoisonError};

/// The instructions that `job` executes on the calling thread, counted by single steps: the
/// processor's trap flag raises SIGTRAP after each, for some microseconds an instruction. Each
/// repetition of a string instruction counts, the kernel's own instructions do not.
///
/// Elsewhere than on x86-64, nanoseconds of the thread's processor time. Compare figures of one
/// test, and none with a constant.
pub(crate) fn cost(job: impl FnOnce()) -> u64 {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    unit::cost(job)
}

#[cfg(target_arch = "x86_64")]
mod unit {
    use std::arch::asm;
    use std::sync::Once;
    use std::sync::atomic::{AtomicU64, Ordering};

    static STEPS: AtomicU64 = AtomicU64::new(0);

    extern "C" fn step(_signal: libc::c_int) {
        STEPS.fetch_add(1, Ordering::Relaxed);
    }

    /// Single steps of the calling thread, until it is dropped.
    struct Stepping;

    impl Stepping {
        fn start() -> Self {
            // SAFETY: TF makes the processor trap after each instruction and changes no result; the
            // handler of that trap is installed.
            unsafe { asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq") };
            Self
        }
    }

    impl Drop for Stepping {
        fn drop(&mut self) {
            // SAFETY: as above.
            unsafe { asm!("pushfq", "and qword ptr [rsp], ~0x100", "popfq") };
        }
    }

    pub(super) fn cost(job: impl FnOnce()) -> u64 {
        static HANDLER: Once = Once::new();
        HANDLER.call_once(|| {
            let handler = step as extern "C" fn(libc::c_int);
            // SAFETY: the handler is an atomic addition.
            let before = unsafe { libc::signal(libc::SIGTRAP, handler as libc::sighandler_t) };
            assert_ne!(before, libc::SIG_ERR);
        });
        let before = STEPS.load(Ordering::Relaxed);
        let stepping = Stepping::start();
        job();
        drop(stepping);
        STEPS.load(Ordering::Relaxed) - before
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod unit {
    use super::super::clock;

    pub(super) fn cost(job: impl FnOnce()) -> u64 {
        let before = clock::of_thread();
        job();
        (clock::of_thread() - before).as_nanos() as u64
    }
}
