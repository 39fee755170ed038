//! Whether the next chunk is likely to be filled, and so to have huge pages.
//!
//! Carving a slab of short blocks links them, which touches each of its pages: the records tell how
//! much of it is resident. A long block may never be touched beyond its first page, so a huge page
//! could hold memory that nobody uses. Huge pages are therefore for short blocks, and only if those
//! of the chunk before the last are carved. Some slabs of the last chunk are still being filled.

use core::num::NonZeroUsize;

use super::Chunk;
use crate::base::atomic::{AtomicUsize, Ordering};
use crate::base::config::{DENSE_EIGHTHS, HUGE_FROM_CHUNKS, SHORT_UNITS, UNIT_BYTES};
use crate::os;
use crate::policy::options::{self, UNLIMITED};

/// How a slab's blocks use its pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blocks {
    /// Two blocks or more in a page: whoever uses blocks touches every page.
    Short,
    /// A block may have pages that nobody touches.
    Long,
}

impl Blocks {
    /// How blocks of `bytes` use their pages.
    pub(crate) fn of(bytes: usize) -> Self {
        if bytes <= os::page_bytes() / 2 { Self::Short } else { Self::Long }
    }
}

/// Bases of the last chunk mapped, and of the one before; zero where there is none.
static LAST: AtomicUsize = AtomicUsize::new(0);
static BEFORE: AtomicUsize = AtomicUsize::new(0);

/// Notes a chunk that was mapped.
pub(super) fn note(base: usize) {
    BEFORE.store(LAST.swap(base, Ordering::Relaxed), Ordering::Relaxed);
}

/// Whether the next chunk, to which there are `others`, is likely to be dense. `is_filled`: whether
/// there is a chunk at an address that [is](Chunk::is_filled). Never under a memory limit, which
/// counts units that slabs use, not what huge pages hold.
pub(super) fn is_next(others: usize, is_filled: impl FnOnce(usize) -> bool) -> bool {
    others >= HUGE_FROM_CHUNKS
        && options::get().memory_limit == UNLIMITED
        && NonZeroUsize::new(BEFORE.load(Ordering::Relaxed)).is_some_and(|base| is_filled(base.get()))
}

impl Chunk {
    /// Whether enough units are in slabs of short blocks, and nearly all of those blocks are
    /// carved. Under the depot's lock.
    pub(crate) fn is_filled(&'static self) -> bool {
        let slabs = (1..u32::from(self.mapped.get())).map(|unit| self.record(unit));
        let short = slabs.filter(|slab| slab.is_open() && Blocks::of(slab.block_bytes()) == Blocks::Short);
        let (units, carved) = short.fold((0_usize, 0_usize), |(units, carved), slab| {
            (units.wrapping_add(slab.units()), carved.wrapping_add(slab.carved_bytes()))
        });
        units >= SHORT_UNITS && carved / DENSE_EIGHTHS >= units.wrapping_mul(UNIT_BYTES / 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::config::UNITS;
    use crate::block::size_class::Class;
    use crate::memory::chunk::Units;
    use crate::memory::slab::Inbox;

    static INBOX: Inbox = Inbox::new();

    /// Whether a chunk is filled whose units are all in slabs of blocks of `bytes`, so many of them
    /// carved.
    fn is_filled_with(bytes: usize, carved: usize) -> bool {
        let chunk = Chunk::map(1, Blocks::Long, |_| false).expect("a chunk");
        let class = Class::of(bytes);
        let units = class.shape().units as usize;
        let mut slabs = 0;
        while let Some((slab, zero)) = chunk.take(units) {
            slab.open(class, zero, &INBOX);
            while slabs < carved && slab.has_uncarved() {
                slab.carve();
            }
            slabs += 1;
        }
        let is_filled = chunk.is_filled();
        chunk.put_units(Units::MAX << 1, crate::memory::chunk::State::Clean);
        // SAFETY: nobody else knows of the chunk.
        assert!(unsafe { chunk.unmap() });
        is_filled
    }

    #[test]
    fn short_blocks_fill_a_chunk_when_they_are_carved_and_long_ones_never_do() {
        for bytes in [16, 100, 1024, 2048] {
            assert!(is_filled_with(bytes, UNITS), "{bytes}");
            assert!(!is_filled_with(bytes, UNITS / 2), "{bytes}");
        }
        for bytes in [os::page_bytes(), 256 << 10] {
            assert!(!is_filled_with(bytes, UNITS), "{bytes}");
        }
    }
}
