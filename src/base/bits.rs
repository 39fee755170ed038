//! Reading words that somebody else may not have initialised.

/// The word at `OFFSET` bytes behind `start`, as it is. Some of its bytes may be the caller's and
/// uninitialised: the processor reads them, and the compiler knows nothing of them.
///
/// # Safety
/// Eight readable bytes are there; `OFFSET` is a multiple of eight below 32,768.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
#[inline(always)]
pub(crate) unsafe fn read<const OFFSET: usize>(start: *const u8) -> u64 {
    let bits;
    // SAFETY: forwarded to the caller.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        core::arch::asm!(
            "mov {bits}, qword ptr [{start} + {offset}]",
            start = in(reg) start,
            offset = const OFFSET,
            bits = lateout(reg) bits,
            options(pure, readonly, nostack, preserves_flags),
        );
        #[cfg(target_arch = "aarch64")]
        core::arch::asm!(
            "ldr {bits}, [{start}, #{offset}]",
            start = in(reg) start,
            offset = const OFFSET,
            bits = lateout(reg) bits,
            options(pure, readonly, nostack, preserves_flags),
        );
        #[cfg(target_arch = "riscv64")]
        core::arch::asm!(
            "ld {bits}, {offset}({start})",
            start = in(reg) start,
            offset = const OFFSET,
            bits = lateout(reg) bits,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    bits
}

/// The word at `OFFSET` bytes behind `start`, as it is. Some of its bytes may be the caller's and
/// uninitialised: the compiler knows nothing of them. `black_box` writes to the stack, which is
/// dearer than the read.
///
/// # Safety
/// Eight readable bytes are there.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
#[inline(always)]
pub(crate) unsafe fn read<const OFFSET: usize>(start: *const u8) -> u64 {
    let word: *const core::mem::MaybeUninit<u64> = start.wrapping_byte_add(OFFSET).cast();
    // SAFETY: forwarded to the caller.
    let bits = core::hint::black_box(unsafe { word.read_unaligned() });
    // SAFETY: the word is bits of which the compiler does not know the origin.
    unsafe { bits.assume_init() }
}

#[cfg(test)]
mod tests {
    #[test]
    fn words_are_read_at_their_offset_and_at_any_alignment() {
        let bytes: [u8; 40] = core::array::from_fn(|at| at as u8);
        let start = bytes.as_ptr();
        let word = |at: usize| u64::from_ne_bytes(core::array::from_fn(|byte| bytes[at + byte]));
        // SAFETY: the array has 40 bytes.
        unsafe {
            assert_eq!(super::read::<0>(start), word(0));
            assert_eq!(super::read::<8>(start), word(8));
            assert_eq!(super::read::<16>(start.add(3)), word(19));
        }
    }
}
