//! Atomics: the standard ones, and the shapes that the allocator adds.

use core::sync::atomic::compiler_fence;
pub(crate) use core::sync::atomic::{
    AtomicBool, AtomicI32, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering,
};

/// Between two stores: a copy of the process that has the second has the first as well.
///
/// `fork` shows a child every other thread stopped between two of its instructions: a store to a page
/// that was copied already waits for the end of the copy. So only the compiler is to be told.
#[inline(always)]
pub(crate) fn in_order() {
    compiler_fence(Ordering::SeqCst);
}

/// A value that one thread writes and any thread may read: relaxed both ways, an ordinary
/// load and store.
pub(crate) struct Seen<A>(A);

macro_rules! seen {
    ($atomic:ident, $value:ident) => {
        impl Seen<$atomic> {
            pub(crate) const fn new(value: $value) -> Self {
                Self($atomic::new(value))
            }

            #[inline(always)]
            pub(crate) fn get(&self) -> $value {
                self.0.load(Ordering::Relaxed)
            }

            #[inline(always)]
            pub(crate) fn set(&self, value: $value) {
                self.0.store(value, Ordering::Relaxed);
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
    let counter = unsafe { &*record.byte_add(OFFSET).cast::<AtomicI32>() };
    let value = counter.load(Ordering::Relaxed).wrapping_add(1);
    // Release, as every store is on x86-64: who sees the count sees what was written before it.
    counter.store(value, Ordering::Release);
    value == 0
}
