//! Tells AddressSanitizer and valgrind which memory must not be touched.
//!
//! With the feature `asan` or `valgrind` a block is closed from its third word on when it is freed,
//! and opened when it is handed out. The first two words are the free list's. Memory that leaves a
//! slab or goes back to the kernel is opened first. Without these features both functions do
//! nothing.

/// Bytes of a free block that the allocator itself uses.
#[cfg(any(feature = "asan", feature = "valgrind"))]
const OWN_BYTES: usize = 16;

/// Opens `bytes` from `start` on.
#[inline(always)]
pub(crate) fn open(start: *mut u8, bytes: usize) {
    #[cfg(feature = "asan")]
    asan::open(start, bytes);
    #[cfg(feature = "valgrind")]
    memcheck::open(start, bytes);
    let _ = (start, bytes);
}

/// Closes the block of `bytes` at `start`, which its user has freed.
#[inline(always)]
pub(crate) fn close(start: *mut u8, bytes: usize) {
    #[cfg(any(feature = "asan", feature = "valgrind"))]
    if !start.is_null() && bytes > OWN_BYTES {
        let (start, bytes) = (start.wrapping_add(OWN_BYTES), bytes.wrapping_sub(OWN_BYTES));
        #[cfg(feature = "asan")]
        asan::close(start, bytes);
        #[cfg(feature = "valgrind")]
        memcheck::close(start, bytes);
    }
    let _ = (start, bytes);
}

/// AddressSanitizer's manual poisoning (`sanitizer/asan_interface.h`).
#[cfg(feature = "asan")]
mod asan {
    unsafe extern "C" {
        fn __asan_poison_memory_region(start: *const u8, bytes: usize);
        fn __asan_unpoison_memory_region(start: *const u8, bytes: usize);
    }

    pub(super) fn open(start: *mut u8, bytes: usize) {
        // SAFETY: changes the tool's own records only.
        unsafe { __asan_unpoison_memory_region(start, bytes) }
    }

    pub(super) fn close(start: *mut u8, bytes: usize) {
        // SAFETY: as above.
        unsafe { __asan_poison_memory_region(start, bytes) }
    }
}

/// Memcheck's client requests (`valgrind/memcheck.h`): instructions that do nothing on a processor
/// and are a call under valgrind.
#[cfg(feature = "valgrind")]
mod memcheck {
    const NO_ACCESS: u64 = 0x4d43_0000;
    const DEFINED: u64 = 0x4d43_0002;

    /// As defined, not as uninitialised: a free reads the block's second word, whether its user
    /// wrote it or not.
    pub(super) fn open(start: *mut u8, bytes: usize) {
        request(DEFINED, start, bytes);
    }

    pub(super) fn close(start: *mut u8, bytes: usize) {
        request(NO_ACCESS, start, bytes);
    }

    #[cfg(target_arch = "x86_64")]
    fn request(what: u64, start: *mut u8, bytes: usize) {
        let arguments = [what, start.expose_provenance() as u64, bytes as u64, 0, 0, 0];
        // SAFETY: the rotations make two whole turns, and `rbx` is exchanged with itself. Valgrind
        // reads the arguments and answers in `rdx`.
        unsafe {
            core::arch::asm!(
                "rol rdi, 3",
                "rol rdi, 13",
                "rol rdi, 61",
                "rol rdi, 51",
                "xchg rbx, rbx",
                in("rax") arguments.as_ptr(),
                inout("rdx") 0_u64 => _,
                inout("rdi") 0_u64 => _,
                options(nostack),
            );
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn request(_what: u64, _start: *mut u8, _bytes: usize) {}
}
