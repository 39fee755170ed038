//! Ranges of the kernel's memory: mapping, growing, and giving back. Each counts as committed from
//! before it is mapped until after it is unmapped.

use core::ptr::NonNull;

use super::mapping_id::{Kind, MappingId, next_number};
use super::shelf::{self, Between};
use super::{crowd, guard};
use crate::base::config::MAX_BLOCK_BYTES;
use crate::base::random::mix;
use crate::memory::{aligned, pending};
use crate::os;
use crate::policy::limit::COMMITTED;
use crate::policy::options;

/// A range that the allocator has mapped. Whoever holds it owns the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: NonNull<u8>,
    pub(super) bytes: usize,
    pub(super) mapping: MappingId,
}

// SAFETY: a range is an address and a length, owned like a value.
unsafe impl Send for Range {}

impl Range {
    fn end(self) -> usize {
        self.start.addr().get().wrapping_add(self.bytes)
    }

    /// Whether `next` begins where this ends, in the same mapping, if only guards lie between.
    pub(super) fn is_before(self, next: Self) -> bool {
        self.mapping.is_same(next.mapping)
            && self.end().wrapping_add(guard::gap(self)) == next.start.addr().get()
    }

    /// The range, noting that it was cut off another or joined of two.
    pub(super) const fn changed(self) -> Self {
        Self { mapping: self.mapping.changed(), ..self }
    }

    /// The rest behind the first `bytes`, fewer than there are.
    pub(super) fn without(self, bytes: usize) -> Self {
        // SAFETY: `bytes` is less than the length, so the rest begins inside the range.
        let start = unsafe { self.start.byte_add(bytes) };
        Self { start, bytes: self.bytes.wrapping_sub(bytes), ..self }.changed()
    }

    /// The first `bytes`, and the rest beyond the guards of both, where those are needed.
    pub(super) fn split(self, bytes: usize) -> (Self, Option<Self>) {
        let skipped = bytes.wrapping_add(guard::gap(self));
        if skipped >= self.bytes {
            return (self, None);
        }
        (Self { bytes, ..self }.changed(), Some(self.without(skipped)))
    }

    /// Both ranges as one, if they are neighbours.
    pub(super) fn join(self, other: Self) -> Option<Self> {
        let bytes = self.bytes.wrapping_add(other.bytes).wrapping_add(guard::gap(self));
        if self.is_before(other) {
            Some(Self { bytes, ..self }.changed())
        } else if other.is_before(self) {
            Some(Self { bytes, ..other }.changed())
        } else {
            None
        }
    }

    /// Fresh memory, which reads as zero.
    pub(super) fn map(bytes: usize, align: usize) -> Option<Self> {
        if !COMMITTED.reserve(bytes) {
            return None;
        }
        let range = Self::map_uncounted(bytes, align);
        if range.is_none() {
            COMMITTED.release(bytes);
        }
        range
    }

    fn map_uncounted(bytes: usize, align: usize) -> Option<Self> {
        let has_guards = options::get().guard_pages;
        let between = if has_guards { Between::Guards } else { Between::Pages };
        let is_crowded = crowd::is_crowded();
        // Aligned to more than its length, it would be a mapping without neighbours.
        let shares = is_crowded || align > os::page_bytes() && bytes <= MAX_BLOCK_BYTES;
        if shares && let Some(shelved) = shelf::take(bytes, align, between) {
            return Some(shelved);
        }
        let guarded = if has_guards { guard::map(bytes, align) } else { None };
        if guarded.is_none()
            && has_guards
            && is_crowded
            && let Some(shelved) = shelf::take(bytes, align, Between::Pages)
        {
            return Some(shelved);
        }
        let range = guarded.or_else(|| Self::map_plain(bytes, align))?;
        range.advise_fresh();
        Some(range)
    }

    fn map_plain(bytes: usize, align: usize) -> Option<Self> {
        let start = aligned::map(os::map, bytes, align, 0)?;
        Some(Self { start, bytes, mapping: MappingId::fresh(Kind::Plain) })
    }

    /// Resizes the range of a block to `bytes`, as [`resize_plain`](Self::resize_plain) does, and
    /// advises about huge pages.
    ///
    /// # Safety
    /// As there.
    pub(super) unsafe fn resize(&mut self, bytes: usize, align: usize) -> Option<Self> {
        // SAFETY: forwarded to the caller.
        let resized = unsafe { self.resize_plain(bytes, align) }?;
        Some(resized.advise_growth(self.bytes))
    }

    /// Resizes the range to `bytes` by moving page tables, in place or elsewhere. Where that fails
    /// the range is as it was, but for a guard that the kernel may not have installed again.
    ///
    /// # Safety
    /// The caller gives up the old range if the answer is a new one, and what a shrink cuts off.
    pub(super) unsafe fn resize_plain(&mut self, bytes: usize, align: usize) -> Option<Self> {
        let more = bytes.saturating_sub(self.bytes);
        // Moved with its guards, a range may lose its alignment.
        let may_move = !self.mapping.is_marked() || align <= os::page_bytes();
        if self.mapping.is_separate() || more != 0 && !(may_move && COMMITTED.reserve(more)) {
            return None;
        }
        // SAFETY: forwarded to the caller.
        let resized = unsafe { self.resize_uncounted(bytes, align) };
        COMMITTED.release(match resized {
            Some(_) => self.bytes.saturating_sub(bytes),
            None => more,
        });
        resized
    }

    /// # Safety
    /// As for [`Self::resize_plain`].
    unsafe fn resize_uncounted(&mut self, bytes: usize, align: usize) -> Option<Self> {
        let resized = if self.mapping.is_shelved() {
            // SAFETY: forwarded to the caller.
            unsafe { shelf::resize(*self, bytes) }?
        } else if self.mapping.is_marked() {
            // SAFETY: forwarded to the caller.
            unsafe { guard::resize(self, bytes) }?
        } else {
            // SAFETY: forwarded to the caller.
            match unsafe { os::remap_in_place(self.start, self.bytes, bytes) } {
                Ok(()) => Self { bytes, ..*self },
                Err(_) if bytes < self.bytes => return None,
                // SAFETY: forwarded to the caller.
                Err(_) => unsafe { self.resize_elsewhere(bytes, align) }?,
            }
        };
        // The advice moves with the pages.
        Some(Self { mapping: resized.mapping.with_advice_of(self.mapping), ..resized })
    }

    /// # Safety
    /// As for [`Self::resize_plain`].
    unsafe fn resize_elsewhere(self, bytes: usize, align: usize) -> Option<Self> {
        if align <= os::page_bytes() {
            // SAFETY: forwarded to the caller.
            let start = unsafe { os::remap(self.start, self.bytes, bytes) }.ok()?;
            return Some(Self { start, bytes, mapping: MappingId::fresh(Kind::Plain) });
        }
        // The whole target is mapped first, and the old range moved there and grown by one call.
        // Moved at equal length, it would be two mappings with what it grows by, and one more each
        // time.
        let target = Self::map_plain(bytes, align)?;
        let mark = Mark::put(target);
        // SAFETY: the target was just mapped for this; the rest is forwarded to the caller.
        if unsafe { os::remap_to(self.start, self.bytes, bytes, target.start) }.is_ok() {
            return Some(target);
        }
        // The kernel may have unmapped what it was to replace before it refused (mremap(2)), and
        // another thread may have mapped there since. The target is touched only if the mark is
        // still there.
        match mark.is_on(target) {
            // SAFETY: just mapped, and nobody refers to it.
            Ok(true) => unsafe { pending::unmap_or_keep(target.start, target.bytes) },
            Ok(false) => {}
            Err(_) => pending::count_lost(target.bytes),
        }
        None
    }

    /// Gives the range back. False where the kernel refuses; its pages are given back then.
    ///
    /// # Safety
    /// The caller gives up the memory, and with true the range.
    #[must_use]
    pub(super) unsafe fn unmap(self) -> bool {
        // SAFETY: forwarded to the caller.
        let done = unsafe { self.unmap_uncounted() };
        if done {
            COMMITTED.release(self.bytes);
        }
        done
    }

    /// # Safety
    /// As for [`Self::unmap`].
    unsafe fn unmap_uncounted(self) -> bool {
        if self.mapping.is_shelved() {
            // SAFETY: forwarded to the caller.
            unsafe { shelf::put(self) };
            return true;
        }
        let (start, bytes) = guard::with_guards(self);
        // SAFETY: forwarded to the caller; guards belong to the range.
        if unsafe { os::unmap(start, bytes) }.is_ok() {
            guard::forget(self);
            return true;
        }
        // SAFETY: forwarded to the caller. Refused, the pages may be half given back: a range that
        // is kept counts as dirty.
        let _ = unsafe { os::discard(self.start, self.bytes) };
        false
    }
}

/// A word that nobody else writes. It tells whether a mapping is still there after a call that may
/// have unmapped it.
struct Mark(u64);

impl Mark {
    fn put(on: Range) -> Self {
        // No two alike, and no value that programs have a use for.
        let mark = Self(mix(on.start.addr().get() as u64 ^ next_number()));
        // SAFETY: just mapped, at least a page, and nobody else's.
        unsafe { on.start.cast().write(mark.0) };
        mark
    }

    /// Whether `range` still begins with it; an error where the kernel does not say.
    fn is_on(&self, range: Range) -> os::Result<bool> {
        let mut found = [0; size_of::<u64>()];
        match os::calls::read_memory(range.start, &mut found) {
            Ok(bytes) => Ok(bytes == found.len() && u64::from_ne_bytes(found) == self.0),
            Err(os::Errno(libc::EFAULT)) => Ok(false),
            Err(errno) => Err(errno),
        }
    }
}
