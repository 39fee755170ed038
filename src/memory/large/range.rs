//! Ranges of the kernel's memory: mapping, growing, and giving back. Each counts as committed from
//! before it is mapped until after it is unmapped.

use core::ptr::NonNull;

use super::shelf::{self, Between};
use super::{crowd, fill, guard};
use crate::base::address::align_up;
use crate::base::atomic::{AtomicU64, Ordering};
use crate::base::config::{HUGE_FROM_BYTES, HUGE_PAGE_BYTES, MAX_BLOCK_BYTES};
use crate::base::random::mix;
use crate::memory::stray;
use crate::os;
use crate::policy::huge;
use crate::policy::limit::COMMITTED;
use crate::policy::options::{self, HugePages};

/// A range that the allocator has mapped. Whoever holds it owns the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: NonNull<u8>,
    pub(super) bytes: usize,
    /// Which call to the kernel it comes from. Only neighbours of one mapping may be joined: the
    /// kernel does not resize a range that spans two. The upper bits are `guard`'s.
    pub(super) mapping: u64,
}

/// A bit of a range's mapping number, below `guard`'s: the mapping is advised to have huge pages, since what it
/// held was dense when it grew.
const ADVISED: u64 = 1 << 60;

// SAFETY: a range is an address and a length, owned like a value.
unsafe impl Send for Range {}

pub(super) fn next_mapping() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A word that nobody else writes, by which a mapping is known again after a call that may have
/// unmapped it.
struct Mark(u64);

impl Mark {
    fn put(on: Range) -> Self {
        // No two alike, and no value that programs have a use for.
        let mark = Self(mix(on.start.addr().get() as u64 ^ next_mapping()));
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

impl Range {
    fn end(self) -> usize {
        self.start.addr().get().wrapping_add(self.bytes)
    }

    /// Whether `next` begins where this ends, in the same mapping, if only guards lie between.
    pub(super) fn is_before(self, next: Self) -> bool {
        guard::mapping_of(self) == guard::mapping_of(next)
            && self.end().wrapping_add(guard::gap(self)) == next.start.addr().get()
    }

    /// What is left without the first `bytes`, fewer than there are.
    pub(super) fn without(self, bytes: usize) -> Self {
        // SAFETY: `bytes` is less than the length, so the rest begins inside the range.
        let start = unsafe { self.start.byte_add(bytes) };
        guard::note_change(Self { start, bytes: self.bytes.wrapping_sub(bytes), ..self })
    }

    /// The first `bytes`, and what is left beyond the guards of both, where those are needed.
    pub(super) fn split(self, bytes: usize) -> (Self, Option<Self>) {
        let skipped = bytes.wrapping_add(guard::gap(self));
        if skipped >= self.bytes {
            return (self, None);
        }
        (guard::note_change(Self { bytes, ..self }), Some(self.without(skipped)))
    }

    /// Both ranges as one, if they are neighbours.
    pub(super) fn join(self, other: Self) -> Option<Self> {
        let bytes = self.bytes.wrapping_add(other.bytes).wrapping_add(guard::gap(self));
        if self.is_before(other) {
            Some(guard::note_change(Self { bytes, ..self }))
        } else if other.is_before(self) {
            Some(guard::note_change(Self { bytes, ..other }))
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
        let range = guarded.or_else(|| Self::map_reserved(bytes, align))?;
        range.advise();
        Some(range)
    }

    /// Asks for huge pages, or against them, for a fresh range.
    fn advise(self) {
        if self.bytes < HUGE_PAGE_BYTES {
            return;
        }
        // With its guards, or it would be three mappings.
        let (start, bytes) = guard::with_guards(self);
        // What the kernel does not do, it does not do.
        match options::get().huge_pages {
            // SAFETY: the range is the caller's.
            HugePages::Never => drop(unsafe { os::advise_not_huge(start, bytes) }),
            // SAFETY: as above.
            HugePages::Always => drop(unsafe { os::advise_huge(start, bytes) }),
            // From the start it would fault in what may never be touched: only what grows is advised.
            HugePages::Adaptive => {}
        }
    }

    pub(super) fn map_reserved(bytes: usize, align: usize) -> Option<Self> {
        if align <= os::page_bytes() {
            let start = os::map(None, bytes).ok()?;
            return Some(Self { start, bytes, mapping: next_mapping() });
        }
        // More than is needed, of which the aligned part is kept.
        let wide = bytes.checked_add(align)?;
        let whole = Self { start: os::map(None, wide).ok()?, bytes: wide, mapping: next_mapping() };
        let address = whole.start.addr().get();
        let head = align_up(address, align).wrapping_sub(address);
        let (head, rest) = whole.split(head);
        let (kept, tail) = rest?.split(bytes);
        for spare in [Some(head), tail].into_iter().flatten().filter(|spare| spare.bytes != 0) {
            // SAFETY: just mapped, and not part of what is kept.
            unsafe { stray::give_back(spare.start, spare.bytes) };
        }
        Some(kept)
    }

    /// Resizes the range of a block to `bytes`, as [`resize_plain`](Self::resize_plain) does, and asks for huge
    /// pages where it grows and was filled.
    ///
    /// # Safety
    /// As there.
    pub(super) unsafe fn resize(&mut self, bytes: usize, align: usize) -> Option<Self> {
        // SAFETY: forwarded to the caller.
        let resized = unsafe { self.resize_plain(bytes, align) }?;
        if bytes < HUGE_FROM_BYTES || options::get().huge_pages == HugePages::Never {
            return Some(resized);
        }
        Some(resized.advise_growth(self.bytes))
    }

    /// Resizes the range to `bytes` by moving page tables, in place or elsewhere. Where that fails it is
    /// as it was, but for a guard that the kernel may not have given back.
    ///
    /// # Safety
    /// The caller gives up the old range if the answer is a new one, and what a shrink cuts off.
    pub(super) unsafe fn resize_plain(&mut self, bytes: usize, align: usize) -> Option<Self> {
        let more = bytes.saturating_sub(self.bytes);
        // Moved with its guards, a range may lose its alignment.
        let may_move = !guard::is_marked(*self) || align <= os::page_bytes();
        if guard::is_separate(*self) || more != 0 && !(may_move && COMMITTED.reserve(more)) {
            return None;
        }
        // SAFETY: forwarded to the caller.
        let resized = unsafe { self.resize_reserved(bytes, align) };
        COMMITTED.release(match resized {
            Some(_) => self.bytes.saturating_sub(bytes),
            None => more,
        });
        resized
    }

    /// # Safety
    /// As for [`Self::resize`].
    unsafe fn resize_reserved(&mut self, bytes: usize, align: usize) -> Option<Self> {
        let resized = if shelf::is_on(*self) {
            // SAFETY: forwarded to the caller.
            unsafe { shelf::resize(*self, bytes) }?
        } else if guard::is_marked(*self) {
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
        // The advice moves with the mapping.
        Some(Self { mapping: resized.mapping | (self.mapping & ADVISED), ..resized })
    }

    /// Asks for huge pages for a range that was `old_bytes` long, if those are filled: then what it has grown by
    /// is filled soon. Where they are not, the advice of an earlier growth ends.
    fn advise_growth(self, old_bytes: usize) -> Self {
        // Often enough to notice what is grown step by step and not filled, and never twice for one huge page.
        if old_bytes >= HUGE_FROM_BYTES && old_bytes / HUGE_PAGE_BYTES == self.bytes / HUGE_PAGE_BYTES {
            return self;
        }
        if !self.is_filled(old_bytes) {
            return self.without_advice();
        }
        let plain = if fill::has_fresh_window(self, old_bytes) { self.without_advice() } else { self };
        // SAFETY: what a block has grown by nobody has used.
        unsafe { fill::keep_small(plain, old_bytes) };
        // With its guards, or it would be three mappings.
        let (start, bytes) = guard::with_guards(self);
        // SAFETY: the range is the caller's.
        let advised = huge::are_worth_asking() && unsafe { os::advise_huge(start, bytes) }.is_ok();
        if !advised {
            return plain.without_advice();
        }
        // The kernel keeps an advised range apart from its neighbours.
        let mapping = guard::next_mapping_like(self) | ADVISED;
        let advised = Self { mapping, ..self };
        let is_dear = fill::fresh_huge_page(self, old_bytes).is_some_and(|offset| {
            // SAFETY: in the range, and fresh: it reads as zero.
            !huge::is_worth(|| unsafe { self.start.byte_add(offset).write_volatile(0) })
        });
        if is_dear { advised.without_advice() } else { advised }
    }

    /// Whether what is beyond the first `bytes` is likely to be filled soon: they are.
    fn is_filled(self, bytes: usize) -> bool {
        let (first, _) = self.split(bytes);
        match options::get().huge_pages {
            HugePages::Always => true,
            _ if self.mapping & ADVISED != 0 => fill::is_window_filled(first),
            _ => fill::is_filled(first),
        }
    }

    /// Ends the advice of an earlier growth, if there was one. The huge pages that the range has stay.
    pub(super) fn without_advice(self) -> Self {
        if self.mapping & ADVISED == 0 {
            return self;
        }
        let (start, bytes) = guard::with_guards(self);
        // SAFETY: the range is the caller's. What the kernel does not do, it does not do.
        let _ = unsafe { os::advise_not_huge(start, bytes) };
        Self { mapping: self.mapping & !ADVISED, ..self }
    }

    /// # Safety
    /// As for [`Self::resize`].
    unsafe fn resize_elsewhere(self, bytes: usize, align: usize) -> Option<Self> {
        if align <= os::page_bytes() {
            // SAFETY: forwarded to the caller.
            let start = unsafe { os::remap(self.start, self.bytes, bytes) }.ok()?;
            return Some(Self { start, bytes, mapping: next_mapping() });
        }
        // The whole target is mapped first, and the old range moved there and grown by one call: moved at equal
        // length, it would be two mappings with what it grows by, and one more each time.
        let target = Self::map_reserved(bytes, align)?;
        let mark = Mark::put(target);
        // SAFETY: the target was just mapped for this; the rest is forwarded to the caller.
        if unsafe { os::remap_to(self.start, self.bytes, bytes, target.start) }.is_ok() {
            return Some(target);
        }
        // The kernel may have unmapped what it was to replace before it refused (mremap(2)), and
        // another thread may have mapped there since: hands off, unless our mark is still there.
        match mark.is_on(target) {
            // SAFETY: just mapped, and nobody refers to it.
            Ok(true) => unsafe { stray::give_back(target.start, target.bytes) },
            Ok(false) => {}
            Err(_) => stray::note_lost(target.bytes),
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
        if shelf::is_on(self) {
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
        // SAFETY: forwarded to the caller. Whether it succeeds does not matter: what is kept
        // counts as dirty.
        let _ = unsafe { os::discard(self.start, self.bytes) };
        false
    }
}
