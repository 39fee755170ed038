//! Fork handlers that were registered before the process's first allocation, and allocate: in the
//! parent before and after, and in the child.

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};

mod common;

use common::{KIB, MIB, child};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

static CALLS: AtomicUsize = AtomicUsize::new(0);

/// A block of each kind: of a new slab, of the thread's own, and a mapping.
extern "C" fn allocate() {
    for size in [700 * KIB, 100, 3 * MIB] {
        drop(black_box(vec![1_u8; size]));
    }
    CALLS.fetch_add(1, Ordering::Relaxed);
}

extern "C" fn register() {
    // SAFETY: the handlers stay as long as the process.
    assert_eq!(unsafe { libc::pthread_atfork(Some(allocate), Some(allocate), Some(allocate)) }, 0);
}

/// Runs before `main`, and so before anything of Rust's allocates.
#[used]
#[unsafe(link_section = ".init_array")]
static REGISTER: extern "C" fn() = register;

#[test]
fn of_earlier_days_may_allocate() {
    child::succeeds("of_earlier_days_may_allocate", || {
        // SAFETY: the child says how many handlers it has seen, and ends.
        let process = unsafe { libc::fork() };
        if process == 0 {
            // SAFETY: no preconditions.
            unsafe { libc::_exit(CALLS.load(Ordering::Relaxed) as i32) };
        }
        let mut status = 0;
        // SAFETY: `status` is writable for the call.
        assert_eq!(unsafe { libc::waitpid(process, &raw mut status, 0) }, process);
        assert_eq!(status, 2 << 8, "the wait status of a child after two handlers");
        assert_eq!(CALLS.load(Ordering::Relaxed), 2);
    });
}
