//! A block's seal: what its last eight bytes say, and what lies before them.

use core::alloc::Layout;

use static_assertions::const_assert;

use super::secret;
use crate::base::atomic::{AtomicU64, Ordering};
use crate::base::config::{MAX_BLOCK_ALIGN, MAX_BLOCK_BYTES};

/// Bytes of a block that no caller gets.
pub(crate) const SEAL_BYTES: usize = size_of::<u64>();

const MAX_ALIGN_LOG2: u32 = MAX_BLOCK_ALIGN.ilog2();

/// In which a block is filled.
const WORD_BYTES: usize = size_of::<u64>();

/// What goes with a block's address, for those who know the secrets. It is never written anywhere:
/// what others may come to see are its [`mask`](Self::mask) and its [`link`](Self::link).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key(u64);

impl Key {
    #[inline(always)]
    pub(crate) fn of(start: *const u8) -> Self {
        Self(secret::of(start.addr()))
    }

    /// What the block's seal and fill are made with.
    #[inline(always)]
    pub(super) fn mask(self) -> Mask {
        Mask(secret::seal_of(self.0) | NO_BYTE_ZERO)
    }

    /// What its link is made with.
    #[inline(always)]
    pub(super) fn link(self) -> u64 {
        secret::link_of(self.0)
    }
}

const NO_BYTE_ZERO: u64 = 0x0101_0101_0101_0101;

/// See [`Key::mask`]. It is the block's fill: no byte of it is zero, which is what ends a string too long by one.
#[derive(Clone, Copy)]
pub(super) struct Mask(u64);

impl Mask {
    /// The seal that says so. Its first byte is the mask's, and so not zero.
    #[inline(always)]
    pub(super) const fn seal(self, says: Says) -> u64 {
        self.0 ^ (says.0 << Says::SHIFT)
    }

    /// What `seal` says; beyond [`Says::LIMIT`] where it is broken.
    #[inline(always)]
    pub(super) const fn open(self, seal: u64) -> Says {
        Says((seal ^ self.0).rotate_right(Says::SHIFT))
    }
}

/// What a seal says: bytes asked for; the alignment's logarithm above; whether the block is free above
/// that.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Says(u64);

impl Says {
    const ALIGN_SHIFT: u32 = 20;
    pub(super) const FREE: Self = Self(1 << 25);
    const LIMIT: u64 = 1 << 26;
    /// The lowest bits of a seal, which a write beyond the end meets first, are the secret's alone.
    const SHIFT: u32 = 24;

    #[inline(always)]
    pub(super) const fn layout(layout: Layout) -> Self {
        Self(layout.size() as u64 | ((layout.align().trailing_zeros() as u64) << Self::ALIGN_SHIFT))
    }

    /// What a seal has no room for in a layout: zero for those of blocks.
    #[inline(always)]
    pub(super) const fn excess(layout: Layout) -> u64 {
        (layout.size() >> Self::ALIGN_SHIFT | layout.align() >> MAX_ALIGN_LOG2 >> 1) as u64
    }

    /// Whether the seal is whole.
    #[inline(always)]
    pub(super) const fn is_whole(self) -> bool {
        self.0 < Self::LIMIT
    }

    /// Whether it is, and the block free.
    pub(super) const fn is_free(self) -> bool {
        self.is_whole() && !self.is_used()
    }

    /// Whether it is, and the block used.
    #[inline(always)]
    pub(super) const fn is_used(self) -> bool {
        self.0 < Self::FREE.0
    }

    #[inline(always)]
    pub(super) const fn size(self) -> usize {
        (self.0 & ((1 << Self::ALIGN_SHIFT) - 1)) as usize
    }
}

const_assert!(MAX_BLOCK_BYTES <= 1 << Says::ALIGN_SHIFT);

/// The seal of the block at `start`. Others may look at it at any time.
///
/// # Safety
/// So many bytes from `start` are mapped, and aligned as blocks are.
#[inline(always)]
pub(super) unsafe fn seal_at<'block>(start: *const u8, block_bytes: usize) -> &'block AtomicU64 {
    let place = start.wrapping_add(block_bytes).wrapping_sub(SEAL_BYTES);
    // SAFETY: forwarded to the caller; block sizes are multiples of eight.
    unsafe { AtomicU64::from_ptr(place.cast_mut().cast()) }
}

/// The word in which the filled bytes of a block begin, those between what was asked for and the seal, and
/// twice how many bits of it are the caller's: no shift is by all 64 of them. It ends before the seal,
/// which others may be looking at.
#[inline(always)]
fn filled(start: *const u8, size: usize, block_bytes: usize) -> (*mut u64, u32) {
    let place = size.min(block_bytes.wrapping_sub(SEAL_BYTES + WORD_BYTES));
    let half = (size.wrapping_sub(place) as u32).wrapping_mul(u8::BITS / 2);
    (start.wrapping_add(place).cast_mut().cast(), half)
}

/// The word at `place`, of which bytes may be the caller's and not initialised: the processor reads it, and
/// the compiler does not know what.
///
/// # Safety
/// Eight bytes are mapped there.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn read_bits(place: *const u64) -> u64 {
    let bits;
    // SAFETY: forwarded to the caller.
    unsafe {
        core::arch::asm!(
            "mov {bits}, qword ptr [{place}]",
            place = in(reg) place,
            bits = out(reg) bits,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    bits
}

/// As there.
///
/// # Safety
/// As there.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
unsafe fn read_bits(place: *const u64) -> u64 {
    let place: *const core::mem::MaybeUninit<u64> = place.cast();
    // SAFETY: forwarded to the caller.
    let bits = core::hint::black_box(unsafe { place.read_unaligned() });
    // SAFETY: whatever is there are bits, and the compiler does not know where they come from.
    unsafe { bits.assume_init() }
}

/// What is not as it was filled in the bytes from `size` to the seal, as far as one word: zero where all is
/// well.
///
/// # Safety
/// As for [`seal_at`].
#[inline(always)]
pub(super) unsafe fn spilled(start: *const u8, mask: Mask, size: usize, block_bytes: usize) -> u64 {
    let (word, half) = filled(start, size, block_bytes);
    // SAFETY: the word is in the block.
    let found = unsafe { read_bits(word) } ^ mask.0;
    found.wrapping_shr(half).wrapping_shr(half)
}

/// Whether the seal of the block before the one at `start` is whole.
///
/// # Safety
/// A carved block of a slab begins at `start`, `place` bytes from the first.
#[inline(always)]
pub(super) unsafe fn is_preceded(start: *const u8, block_bytes: usize, place: usize) -> bool {
    if place == 0 {
        return true;
    }
    let before = start.wrapping_sub(block_bytes);
    // SAFETY: not the first block, so another one of the slab, carved earlier, lies before it.
    let seal = unsafe { seal_at(before, block_bytes) }.load(Ordering::Relaxed);
    Key::of(before).mask().open(seal).is_whole()
}

/// Seals the block at `start` for a caller who asks for `layout`, and fills what lies between. The caller's
/// bytes in the word that is filled become those of `found`, see [`last_word`].
///
/// # Safety
/// The block is the caller's of this function, and at least as long as layout and seal.
#[inline(always)]
pub(super) unsafe fn seal(start: *mut u8, mask: Mask, block_bytes: usize, layout: Layout, found: u64) {
    let (word, half) = filled(start, layout.size(), block_bytes);
    let ours = u64::MAX.wrapping_shl(half).wrapping_shl(half);
    // SAFETY: the word is in the block.
    unsafe { word.write_unaligned((found & !ours) | (mask.0 & ours)) };
    // SAFETY: forwarded to the caller.
    let seal = unsafe { seal_at(start, block_bytes) };
    seal.store(mask.seal(Says::layout(layout)), Ordering::Relaxed);
}

/// The word that is filled behind `size` bytes of the block at `start`, as it is.
///
/// # Safety
/// As for [`seal_at`].
pub(super) unsafe fn last_word(start: *const u8, size: usize, block_bytes: usize) -> u64 {
    // SAFETY: the word is in the block.
    unsafe { read_bits(filled(start, size, block_bytes).0) }
}

/// What is wrong with a block whose seal says so: zero where nothing is.
///
/// # Safety
/// A carved block of that length begins at `start`.
#[inline(always)]
pub(super) unsafe fn faults(mask: Mask, says: Says, start: *const u8, block_bytes: usize) -> u64 {
    if !says.is_used() || says.size() > block_bytes.wrapping_sub(SEAL_BYTES) {
        return u64::MAX;
    }
    // SAFETY: the bytes beyond those asked for are in the block.
    unsafe { spilled(start, mask, says.size(), block_bytes) }
}
