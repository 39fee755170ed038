//! A block's last eight bytes, its *canary*, and the *padding* before them.
//!
//! The canary is a keyed hash of the block's address. Its middle bits hold the size and alignment
//! that were requested, and whether the block is free. The padding is the bytes between the
//! requested size and the canary, of which at most one word holds the hash too. What is seen:
//!
//! - A write beyond the end changes padding or canary, and is seen when the block is freed or
//!   resized.
//! - A write before the beginning changes the canary of the block before, and is seen when either
//!   block is freed.
//! - A layout that is not the block's differs from the one in its canary.
//! - A second free finds a canary that says *free*.

use core::alloc::Layout;
use core::ptr::NonNull;

use static_assertions::const_assert;

use super::{Key, ON, route};
use crate::base::atomic::{AtomicU64, Ordering};
use crate::base::bits;
use crate::base::config::{MAX_BLOCK_ALIGN, MAX_BLOCK_BYTES};
use crate::block::size_class::{Class, Route};

/// Bytes of a block that no caller gets.
pub(crate) const CANARY_BYTES: usize = if ON { size_of::<u64>() } else { 0 };

const MAX_ALIGN_LOG2: u32 = MAX_BLOCK_ALIGN.ilog2();

/// Bytes in which padding is written and compared.
const WORD_BYTES: usize = size_of::<u64>();

const NO_BYTE_ZERO: u64 = 0x0101_0101_0101_0101;

/// The word of a block's padding, and the basis of its canary. No byte of it is zero: a string that
/// is too long by one ends with a zero byte, which then differs.
#[derive(Clone, Copy)]
pub(super) struct Mask(u64);

impl Mask {
    #[inline(always)]
    pub(super) fn of(key: Key) -> Self {
        Self(key.canary_hash() | NO_BYTE_ZERO)
    }

    /// The canary with this content. Its first byte is the mask's, and so not zero.
    #[inline(always)]
    const fn canary(self, content: Content) -> u64 {
        self.0 ^ (content.0 << Content::SHIFT)
    }

    /// What `canary` holds; beyond [`Content::LIMIT`] where it was overwritten.
    #[inline(always)]
    const fn content(self, canary: u64) -> Content {
        Content((canary ^ self.0).rotate_right(Content::SHIFT))
    }
}

/// What a canary holds: in the lowest bits the requested size in bytes, above it the logarithm of
/// the alignment, and above that one bit for a free block.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Content(u64);

impl Content {
    const ALIGN_SHIFT: u32 = 20;
    const FREE: Self = Self(1 << 25);
    const LIMIT: u64 = 1 << 26;
    /// The lowest bits of a canary, which a write beyond the end meets first, are the hash's alone.
    const SHIFT: u32 = 24;

    #[inline(always)]
    const fn layout(layout: Layout) -> Self {
        Self(layout.size() as u64 | ((layout.align().trailing_zeros() as u64) << Self::ALIGN_SHIFT))
    }

    /// The bits of a layout that a canary has no room for: zero for each layout of a block.
    #[inline(always)]
    const fn excess(layout: Layout) -> u64 {
        (layout.size() >> Self::ALIGN_SHIFT | layout.align() >> MAX_ALIGN_LOG2 >> 1) as u64
    }

    /// Whether the canary is intact.
    #[inline(always)]
    const fn is_intact(self) -> bool {
        self.0 < Self::LIMIT
    }

    /// Whether the canary is intact, and the block free.
    const fn is_free(self) -> bool {
        self.is_intact() && !self.is_used()
    }

    /// Whether the canary is intact, and the block used.
    #[inline(always)]
    const fn is_used(self) -> bool {
        self.0 < Self::FREE.0
    }

    #[inline(always)]
    const fn size(self) -> usize {
        (self.0 & ((1 << Self::ALIGN_SHIFT) - 1)) as usize
    }
}

const_assert!(MAX_BLOCK_BYTES <= 1 << Content::ALIGN_SHIFT);

// ---- the steps of a block's life ----

/// Notes that the caller of the block of `class` at `start` now requests `layout`. The content
/// stays.
#[inline(always)]
pub(crate) fn seal_for(start: NonNull<u8>, class: Class, layout: Layout) {
    if !ON {
        return;
    }
    let start = start.as_ptr();
    // SAFETY: the block is the caller's, and of a class that has room for it.
    unsafe {
        let block_bytes = class.shape().block as usize;
        let content = last_word(start, layout.size(), block_bytes);
        seal(start, Mask::of(Key::of(start)), block_bytes, layout, content);
    }
}

/// Writes padding and canary of the block at `start` for a caller that requests `layout`. The
/// caller's bytes in the word of the padding become those of `content`, see [`last_word`].
///
/// # Safety
/// The block is the caller's of this function, and has room for layout and canary.
#[inline(always)]
pub(super) unsafe fn seal(start: *mut u8, mask: Mask, block_bytes: usize, layout: Layout, content: u64) {
    let (word, half) = padding(start, layout.size(), block_bytes);
    let padded = u64::MAX.wrapping_shl(half).wrapping_shl(half);
    // SAFETY: the word is in the block.
    unsafe { word.write_unaligned((content & !padded) | (mask.0 & padded)) };
    // SAFETY: forwarded to the caller.
    let canary = unsafe { canary_at(start, block_bytes) };
    canary.store(mask.canary(Content::layout(layout)), Ordering::Relaxed);
}

/// Makes the canary of the block at `start` that of a free block, whatever it was.
///
/// # Safety
/// A block of that length begins at `start`, and nobody else uses it.
pub(crate) unsafe fn mark_free(start: *mut u8, block_bytes: usize) {
    // SAFETY: forwarded to the caller.
    let canary = unsafe { canary_at(start, block_bytes) };
    canary.store(Mask::of(Key::of(start)).canary(Content::FREE), Ordering::Relaxed);
}

/// Checks the block at `start`, `offset` bytes from the first of its slab, and makes it a free one.
/// Its key, or none where a check fails: [`diagnose`] says which. `layout`: what the caller says it
/// is.
///
/// One exchange of the canary frees the block, so that of two threads that free it at once one is
/// refused.
///
/// # Safety
/// A carved block of that length begins at `start`.
#[inline(always)]
pub(crate) unsafe fn check_fast(
    start: *const u8,
    block_bytes: usize,
    offset: usize,
    layout: Option<Layout>,
) -> Option<Key> {
    // SAFETY: forwarded to the caller.
    if !unsafe { is_preceded(start, block_bytes, offset) } {
        return None;
    }
    let key = Key::of(start);
    let mask = Mask::of(key);
    // SAFETY: forwarded to the caller.
    let canary = unsafe { canary_at(start, block_bytes) };
    let found = canary.load(Ordering::Relaxed);
    let wrong = match layout {
        Some(layout) => {
            // SAFETY: forwarded to the caller.
            let spilled = unsafe { spilled(start, mask, layout.size(), block_bytes) };
            (found ^ mask.canary(Content::layout(layout))) | spilled | Content::excess(layout)
        }
        // SAFETY: forwarded to the caller.
        None => unsafe { faults(mask, mask.content(found), start, block_bytes) },
    };
    if wrong != 0 {
        return None;
    }
    // Relaxed: who frees the block passes it on by other words, and who is refused does nothing
    // with it.
    let freed =
        canary.compare_exchange(found, mask.canary(Content::FREE), Ordering::Relaxed, Ordering::Relaxed);
    freed.ok().map(|_| key)
}

/// The diagnosis of a block that is free already.
pub(crate) const TWICE: &str = "double free";

/// What is wrong with the block of `class` at `start`, `offset` bytes from the first of its slab,
/// if anything is. `layout`: what the caller says it is. Never anything without `secure`.
///
/// # Safety
/// A carved block of that class begins at `start`.
#[cold]
pub(crate) unsafe fn diagnose(
    start: *const u8,
    class: Class,
    offset: usize,
    layout: Option<Layout>,
) -> Option<&'static str> {
    // SAFETY: forwarded to the caller.
    let fault = unsafe { fault_in(start, class, offset, layout) }?;
    // Another thread may have freed the block meanwhile, and begun to clear it.
    // SAFETY: as above.
    let canary = unsafe { canary_at(start, class.shape().block as usize) }.load(Ordering::Acquire);
    let is_free = Mask::of(Key::of(start)).content(canary).is_free();
    Some(if is_free { TWICE } else { fault })
}

/// As [`diagnose`], by one look at a block that no other thread is freeing.
///
/// # Safety
/// As there.
unsafe fn fault_in(
    start: *const u8,
    class: Class,
    offset: usize,
    layout: Option<Layout>,
) -> Option<&'static str> {
    let block_bytes = class.shape().block as usize;
    // SAFETY: forwarded to the caller.
    let canary = unsafe { canary_at(start, block_bytes) }.load(Ordering::Relaxed);
    let mask = Mask::of(Key::of(start));
    let content = mask.content(canary);
    if content.is_free() {
        return Some(TWICE);
    }
    // SAFETY: forwarded to the caller.
    if unsafe { faults(mask, content, start, block_bytes) } != 0 {
        return Some("write beyond the end of a block");
    }
    // SAFETY: forwarded to the caller.
    if !unsafe { is_preceded(start, block_bytes, offset) } {
        return Some("write before the beginning of a block");
    }
    let layout = layout?;
    let fits = matches!(route(layout), Route::Small(its) if its == class);
    if fits && content == Content::layout(layout) && Content::excess(layout) == 0 {
        None
    } else {
        Some("layout not the one allocated with,")
    }
}

/// Bytes that the caller of the block at `start` may use: those requested, or all without `secure`.
/// Zero where the canary was overwritten.
pub(crate) fn usable(start: *const u8, block_bytes: usize) -> usize {
    if !ON {
        return block_bytes;
    }
    // SAFETY: a block of that length begins here.
    let canary = unsafe { canary_at(start, block_bytes) }.load(Ordering::Relaxed);
    let content = Mask::of(Key::of(start)).content(canary);
    if content.is_intact() { content.size().min(block_bytes.wrapping_sub(CANARY_BYTES)) } else { 0 }
}

// ---- canary and padding in memory ----

/// The canary of the block at `start`. Other threads may read it at any time.
///
/// # Safety
/// So many bytes from `start` are mapped, and aligned as blocks are.
#[inline(always)]
unsafe fn canary_at<'block>(start: *const u8, block_bytes: usize) -> &'block AtomicU64 {
    let canary = start.wrapping_add(block_bytes).wrapping_sub(CANARY_BYTES);
    // SAFETY: forwarded to the caller; block sizes are multiples of eight.
    unsafe { AtomicU64::from_ptr(canary.cast_mut().cast()) }
}

/// The word of a block's padding, and half the number of its bits that are the caller's: two shifts
/// by half never shift by all 64 bits at once. The word ends before the canary, which others may be
/// reading.
#[inline(always)]
fn padding(start: *const u8, size: usize, block_bytes: usize) -> (*mut u64, u32) {
    let offset = size.min(block_bytes.wrapping_sub(CANARY_BYTES + WORD_BYTES));
    let half = (size.wrapping_sub(offset) as u32).wrapping_mul(u8::BITS / 2);
    (start.wrapping_add(offset).cast_mut().cast(), half)
}

/// The word of the padding behind `size` bytes of the block at `start`, as it is.
///
/// # Safety
/// As for [`canary_at`].
unsafe fn last_word(start: *const u8, size: usize, block_bytes: usize) -> u64 {
    // SAFETY: the word is in the block.
    unsafe { bits::read::<0>(padding(start, size, block_bytes).0.cast()) }
}

/// The bits of the padding behind `size` bytes that were changed: zero where none was.
///
/// # Safety
/// As for [`canary_at`].
#[inline(always)]
unsafe fn spilled(start: *const u8, mask: Mask, size: usize, block_bytes: usize) -> u64 {
    let (word, half) = padding(start, size, block_bytes);
    // SAFETY: the word is in the block.
    let changed = unsafe { bits::read::<0>(word.cast()) } ^ mask.0;
    changed.wrapping_shr(half).wrapping_shr(half)
}

/// Zero where a block with this content is used and its padding is unchanged.
///
/// # Safety
/// A carved block of that length begins at `start`.
#[inline(always)]
unsafe fn faults(mask: Mask, content: Content, start: *const u8, block_bytes: usize) -> u64 {
    if !content.is_used() || content.size() > block_bytes.wrapping_sub(CANARY_BYTES) {
        return u64::MAX;
    }
    // SAFETY: the padding is in the block.
    unsafe { spilled(start, mask, content.size(), block_bytes) }
}

/// Whether the canary of the block before the one at `start` is intact.
///
/// # Safety
/// A carved block of a slab begins at `start`, `offset` bytes from the first.
#[inline(always)]
unsafe fn is_preceded(start: *const u8, block_bytes: usize, offset: usize) -> bool {
    if offset == 0 {
        return true;
    }
    let before = start.wrapping_sub(block_bytes);
    // SAFETY: not the first block, so another carved one of the slab lies before it.
    let canary = unsafe { canary_at(before, block_bytes) }.load(Ordering::Relaxed);
    Mask::of(Key::of(before)).content(canary).is_intact()
}
