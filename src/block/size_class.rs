//! Size classes, and the one function that says where a `Layout` lives.
//!
//! 8-byte steps to 64 bytes (from 16: a free block needs two words), 16-byte steps to 128,
//! then eight steps a doubling, which bounds the waste inside a block to one eighth.
//! [One class](WITHOUT_56) is another where panics need it.
//! Every class is a multiple of every alignment that leads to it, see [`route`].
#![forbid(unsafe_code)]
#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tables are made and checked at compile time, and have an entry for every index"
)]

use core::alloc::Layout;

use static_assertions::const_assert;

use crate::base::address::align_up;
use crate::base::config::{
    BIN_BLOCKS, BIN_BYTES, BIN_LONGEST, INLINE_LIMIT, MAX_BLOCK_ALIGN, MAX_BLOCK_BYTES, UNIT_BYTES,
};

/// Classes below the regular part: 16 to 64 by 8, then 80, 96, 112, 128.
const FINE: usize = 11;
/// Whether there is a class of 72 bytes and none of 56: every block of 49 to 56 bytes is then
/// aligned to 16. LLVM's unwinder, which static programs have, writes to a panic's object by
/// `movaps`, and the standard library asks for 56 bytes aligned to 8 (mended in 2026,
/// rust-lang/rust#161368).
const WITHOUT_56: bool = cfg!(all(target_arch = "x86_64", not(target_env = "gnu")));
/// Log2 of the last size of the fine part.
const FINE_LOG2: usize = 7;
/// Steps a doubling in the regular part.
const STEPS: usize = 8;
/// What every class is a multiple of.
pub(crate) const CLASS_ALIGN: usize = 8;
/// How many size classes there are.
pub(crate) const CLASSES: usize = FINE + (MAX_BLOCK_BYTES.ilog2() as usize - FINE_LOG2) * STEPS;

/// How many classes may have a bin: those of up to [`BIN_LONGEST`] bytes.
const BINNED_CLASSES: usize = Class::of_inline(BIN_LONGEST).index() + 1;

/// How many classes [`inline_class`] leads to.
pub(crate) const INLINE_CLASSES: usize = Class::of_inline(INLINE_LIMIT - 1).index() + 1;

/// Index of a size class; below [`CLASSES`] by construction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Class(u8);

/// A slab's blocks go into its class's bin once it has so many times as many used ones as the bin
/// has room for.
pub(crate) const FEEDS_FROM: usize = 2;

/// Where a layout's block lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// In a slab of this class.
    Small(Class),
    /// In a mapping of its own.
    Large,
}

/// What a class looks like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Bytes of a block.
    pub(crate) block: u32,
    /// Units of a slab.
    pub(crate) units: u32,
    /// Blocks in a slab.
    pub(crate) capacity: u32,
    /// 2^32 / `block`, rounded up: see [`index_of`](Self::index_of).
    pub(crate) inverse: u32,
}

impl Shape {
    /// Index of the block that begins `offset` bytes into a slab of one unit; none where none does.
    /// Divisibility by multiplication with the inverse modulo 2^32 (Lemire, Kaser and Kurz 2019):
    /// the product's upper half is the quotient. Exact for dividends of 16 bits and divisors up to
    /// 2^13, those of slabs of one unit.
    #[inline(always)]
    pub(crate) const fn index_of(&self, offset: usize) -> Option<usize> {
        let product = (offset as u64).wrapping_mul(self.inverse as u64);
        let index = product >> u32::BITS;
        if (product as u32) < self.inverse && index < self.capacity as u64 {
            Some(index as usize)
        } else {
            None
        }
    }
}

/// Where `layout` lives. Pure: `alloc`, `dealloc` and `realloc` ask it and cannot disagree.
///
/// The size is rounded up to the alignment first, and no bytes count as one: zero is a multiple of
/// every alignment, and would lead to a class that is not. Either the alignment divides its class's
/// step, or the rounded size is itself a class; both ways the block size is a multiple of the
/// alignment, and slabs start on a unit, so every block is aligned.
#[inline]
pub(crate) const fn route(layout: Layout) -> Route {
    if layout.align() > MAX_BLOCK_ALIGN || layout.size() > MAX_BLOCK_BYTES {
        return Route::Large;
    }
    let size = if layout.size() == 0 { 1 } else { layout.size() };
    Route::Small(Class::of(align_up(size, layout.align())))
}

/// The class of a layout whose size is below [`INLINE_LIMIT`] and whose alignment is one that every
/// class has, so that nothing needs to be rounded up to it.
#[inline(always)]
pub(crate) const fn inline_class(layout: Layout) -> Option<Class> {
    if layout.size() >= INLINE_LIMIT || layout.align() > CLASS_ALIGN {
        return None;
    }
    Some(Class::of_inline(layout.size()))
}

/// The class of a layout whose block may go into a bin. As [`route`], of which it is a part.
#[inline(always)]
pub(crate) const fn binned_class(layout: Layout) -> Option<Class> {
    let size = if layout.align() <= CLASS_ALIGN {
        layout.size()
    } else {
        // An alignment is known at compile time as a rule.
        align_up(if layout.size() == 0 { 1 } else { layout.size() }, layout.align())
    };
    if size > BIN_LONGEST { None } else { Some(Class::of_inline(size)) }
}

impl Class {
    /// The smallest class.
    pub(crate) const FIRST: Self = Self(0);

    /// The smallest class that holds `size` bytes, at most [`MAX_BLOCK_BYTES`].
    #[inline]
    pub(crate) const fn of(size: usize) -> Self {
        if size <= INLINE_LIMIT { Self::of_inline(size) } else { Self::computed(size) }
    }

    /// As [`Self::of`], for sizes of at most [`INLINE_LIMIT`].
    #[inline(always)]
    pub(crate) const fn of_inline(size: usize) -> Self {
        Self(LOOKUP[(size + 7) >> 3])
    }

    /// For sizes above 128.
    #[inline]
    const fn computed(size: usize) -> Self {
        let log2 = (usize::BITS - 1 - (size - 1).leading_zeros()) as usize;
        let step = (size - 1) >> (log2 - STEPS.ilog2() as usize);
        Self((FINE + (log2 - FINE_LOG2) * STEPS + step - STEPS) as u8)
    }

    /// The class at `index`, where there is one.
    #[inline]
    pub(crate) const fn at(index: usize) -> Option<Self> {
        if index < CLASSES { Some(Self(index as u8)) } else { None }
    }

    /// The classes whose bits are set.
    pub(crate) fn in_set(mut set: u128) -> impl Iterator<Item = Self> {
        core::iter::from_fn(move || {
            let class = Self::at(set.trailing_zeros() as usize)?;
            set &= set.wrapping_sub(1);
            Some(class)
        })
    }

    /// Position in tables that have an entry a class.
    #[inline(always)]
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }

    /// Block size, slab length and capacity.
    #[inline]
    pub(crate) const fn shape(self) -> &'static Shape {
        &SHAPES[self.0 as usize]
    }

    /// Most blocks in its bin; zero where it has none.
    #[inline]
    pub(crate) const fn places(self) -> usize {
        if self.index() >= BINNED_CLASSES {
            return 0;
        }
        let fit = BIN_BYTES / self.shape().block as usize;
        if fit < BIN_BLOCKS { fit } else { BIN_BLOCKS }
    }

    /// Bytes of a block.
    #[cfg(test)]
    pub(crate) const fn block_bytes(self) -> usize {
        SHAPES[self.0 as usize].block as usize
    }
}

/// Every class in order.
#[cfg(test)]
pub(crate) fn all() -> impl Iterator<Item = Class> {
    (0..CLASSES).filter_map(Class::at)
}

/// Sizes of up to twice the limit: a size and an alignment below it, rounded up, stay within.
const LOOKUP: [u8; 2 * INLINE_LIMIT / 8 + 1] = lookup();
/// An entry for every `u8`, so that no index needs a check.
static SHAPES: [Shape; 256] = SHAPE_TABLE;
const SHAPE_TABLE: [Shape; 256] = shapes();

const fn block_size(index: usize) -> usize {
    if index < 7 {
        16 + index * 8 + if WITHOUT_56 && index >= 5 { 8 } else { 0 }
    } else if index < FINE {
        64 + (index - 6) * 16
    } else {
        let base = 1 << (FINE_LOG2 + (index - FINE) / STEPS);
        base + base / STEPS * ((index - FINE) % STEPS + 1)
    }
}

const fn lookup() -> [u8; 2 * INLINE_LIMIT / 8 + 1] {
    let mut table = [0; 2 * INLINE_LIMIT / 8 + 1];
    let mut class = 0;
    let mut slot = 0;
    while slot < table.len() {
        if slot * 8 > block_size(class) {
            class += 1;
        }
        table[slot] = class as u8;
        slot += 1;
    }
    table
}

/// Blocks that make a slab worth its opening and closing. Longer blocks than a unit are worth
/// it alone, and their units serve another class sooner.
const ENOUGH_BLOCKS: usize = 8;

/// The fewest units that hold enough blocks and whose tail, too short for another, is at most
/// an eighth of the slab.
const fn slab_units(block: usize) -> usize {
    let mut units = block.div_ceil(UNIT_BYTES);
    while block <= UNIT_BYTES && units * UNIT_BYTES / block < ENOUGH_BLOCKS {
        units += 1;
    }
    while (units * UNIT_BYTES % block) * 8 > units * UNIT_BYTES {
        units += 1;
    }
    units
}

const fn shapes() -> [Shape; 256] {
    let mut table = [Shape { block: 0, units: 0, capacity: 0, inverse: 0 }; 256];
    let mut index = 0;
    while index < CLASSES {
        let block = block_size(index);
        let units = slab_units(block);
        table[index] = Shape {
            block: block as u32,
            units: units as u32,
            capacity: (units * UNIT_BYTES / block) as u32,
            inverse: u32::MAX / block as u32 + 1,
        };
        index += 1;
    }
    table
}

const fn table_is_sound() -> bool {
    let mut index = 0;
    let mut previous = 0;
    while index < CLASSES {
        let block = block_size(index);
        let waste = block - previous - 1;
        if block <= previous || !block.is_multiple_of(CLASS_ALIGN) || (block > 128 && waste * 8 > block) {
            return false;
        }
        if Class::of(block).index() != index || Class::of(previous + 1).index() != index {
            return false;
        }
        let shape = SHAPE_TABLE[index];
        if shape.capacity == 0
            || shape.units as usize > 16
            || shape.capacity as usize * block > shape.units as usize * UNIT_BYTES
        {
            return false;
        }
        previous = block;
        index += 1;
    }
    previous == MAX_BLOCK_BYTES
}

/// A slab with enough used blocks for its class's bin has as many again, and one unit.
const fn bins_fit_slabs() -> bool {
    let mut index = 0;
    while index < BINNED_CLASSES {
        let class = Class(index as u8);
        let shape = class.shape();
        if class.places() * FEEDS_FROM + 2 > shape.capacity as usize || shape.units != 1 {
            return false;
        }
        index += 1;
    }
    true
}

const_assert!(CLASSES <= u128::BITS as usize);
const_assert!(BINNED_CLASSES <= INLINE_CLASSES && bins_fit_slabs());
const_assert!(table_is_sound());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_is_a_multiple_of_every_alignment_that_leads_to_it() {
        for log2 in 0..=MAX_BLOCK_ALIGN.ilog2() {
            let align = 1_usize << log2;
            let mut size = 0;
            while size <= MAX_BLOCK_BYTES {
                let layout = Layout::from_size_align(size, align).expect("valid layout");
                let Route::Small(class) = route(layout) else { panic!("{layout:?} must be small") };
                assert!(
                    class.block_bytes() >= size && class.block_bytes().is_multiple_of(align),
                    "{layout:?}"
                );
                if let Some(inline) = inline_class(layout) {
                    assert_eq!(inline, class, "{layout:?}");
                }
                if let Some(binned) = binned_class(layout) {
                    assert_eq!(binned, class, "{layout:?}");
                }
                size += if size < 4096 { 1 } else { 61 };
            }
        }
    }

    #[test]
    fn waste_is_bounded_inside_blocks_and_at_slab_tails() {
        let mut previous = 0;
        for class in all() {
            let shape = class.shape();
            let block = shape.block as usize;
            let slab = shape.units as usize * UNIT_BYTES;
            let tail = slab - shape.capacity as usize * block;
            assert!(tail * 8 <= slab, "tail of {block}: {tail} of {slab}");
            assert!(tail < block, "another block of {block} fits");
            if previous >= 128 {
                assert!((block - previous - 1) * 8 <= block, "step to {block}");
            }
            previous = block;
        }
        for exact in [24, 40, if WITHOUT_56 { 72 } else { 56 }] {
            assert_eq!(Class::of(exact).block_bytes(), exact);
        }
        assert_eq!(Class::of(64).block_bytes(), 64);
    }
}
