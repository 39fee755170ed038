//! The standard atomics, a value with one writer, and a counter whose increment sets the zero flag.

use core::sync::atomic::compiler_fence;
// Where every call is forwarded, some are not needed.
#[cfg_attr(not(all(target_os = "linux", target_pointer_width = "64")), allow(unused_imports))]
pub(crate) use core::sync::atomic::{
    AtomicBool, AtomicI8, AtomicI32, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering,
};

/// Orders two stores for a forked child: a child that has the second store has the first as well.
///
/// A child sees each other thread stopped between two instructions, since a store to a page that
/// was copied already waits for the end of the copy. So only the compiler must not reorder.
#[inline(always)]
pub(crate) fn in_order() {
    compiler_fence(Ordering::SeqCst);
}

/// A value that one thread writes and any thread may read. Relaxed loads and stores, which cost
/// what ordinary ones do.
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

seen!(AtomicI8, i8);
seen!(AtomicU8, u8);
seen!(AtomicU32, u32);
seen!(AtomicU64, u64);
seen!(AtomicUsize, usize);

/// Adds one to the counter at `OFFSET` bytes into `record`, and says whether it is zero now. Only
/// the calling thread writes the counter.
///
/// # Safety
/// An `AtomicI32` lies there for as long as the call runs.
#[cfg(all(target_arch = "x86_64", not(any(miri, freestone_plain_count))))]
#[inline(always)]
pub(crate) unsafe fn increment<const OFFSET: usize>(record: *const u8) -> bool {
    // The compiler makes three instructions and a test of a relaxed load and store. The processor's
    // own read-modify-write is one, and sets the flags as well. SAFETY: the counter is writable,
    // and an aligned 32-bit access is atomic on this processor.
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

/// Adds one to the counter at `OFFSET` bytes into `record`, and says whether it is zero now. Only
/// the calling thread writes the counter. ThreadSanitizer is given this one: it sees no assembly,
/// and so not that the store releases what was written before.
///
/// # Safety
/// An `AtomicI32` lies there for as long as the call runs.
#[cfg(any(not(target_arch = "x86_64"), miri, freestone_plain_count))]
#[inline(always)]
pub(crate) unsafe fn increment<const OFFSET: usize>(record: *const u8) -> bool {
    // SAFETY: forwarded to the caller.
    let counter = unsafe { &*record.byte_add(OFFSET).cast::<AtomicI32>() };
    let value = counter.load(Ordering::Relaxed).wrapping_add(1);
    // Release, as every store is on x86-64: a reader of the count sees the stores before it.
    counter.store(value, Ordering::Release);
    value == 0
}
