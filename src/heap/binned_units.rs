//! Which units have slabs that feed bins: a table by unit number that answers for any address.

use core::ptr;

use static_assertions::const_assert;

use crate::base::atomic::{AtomicPtr, AtomicU32, Ordering, Seen};
use crate::base::config::{BINNED_UNITS, UNIT_BYTES};
use crate::block::size_class::{Class, INLINE_CLASSES};
use crate::memory::records;

/// Units of slabs that feed bins: a direct-mapped table by unit number. It answers for any address,
/// of a block or not, without a look at what lies there.
///
/// The owner enters and clears. A helper clears too: then the owner may still push a block of a
/// slab that is another heap's by now. When its bin is emptied, the block goes there.
///
/// The table is made when the heap's first bin is opened.
pub(super) struct BinnedUnits(AtomicPtr<[Seen<AtomicU32>; BINNED_UNITS]>);

/// An entry without a unit: the classes in entries are counted from one.
const NO_UNIT: u32 = 0;

/// Bits of an entry that tell its unit. Those above have the class, from one on.
const TAG_BITS: u32 = 48 - UNIT_BYTES.ilog2() - BINNED_UNITS.ilog2();

impl BinnedUnits {
    pub(super) const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// Makes the table, if there is none. False where there is no memory.
    pub(super) fn make(&self) -> bool {
        if self.0.load(Ordering::Relaxed).is_null() {
            let Some(table) = records::take(BINNED_UNITS.wrapping_mul(size_of::<AtomicU32>())) else {
                return false;
            };
            // Without a unit it is all zero, as fresh records are.
            self.0.store(table.cast().as_ptr(), Ordering::Release);
        }
        true
    }

    /// What tells the unit at `address` from others with the same entry. Unique for 48 bits of
    /// address, which are all that the kernel maps unless it is asked for more (mmap(2), five-level
    /// paging).
    #[inline(always)]
    const fn tag(address: usize) -> u32 {
        (address / UNIT_BYTES / BINNED_UNITS) as u32 % (1 << TAG_BITS)
    }

    /// The entry of the unit at `address` with blocks of `class`.
    #[inline(always)]
    const fn value(address: usize, class: Class) -> u32 {
        Self::tag(address) | (class.index() as u32).wrapping_add(1) << TAG_BITS
    }

    #[inline(always)]
    fn entry(&self, address: usize) -> Option<&Seen<AtomicU32>> {
        // SAFETY: the table is never unmapped.
        let table = unsafe { self.0.load(Ordering::Acquire).as_ref() }?;
        // SAFETY: the remainder is below the array's length.
        Some(unsafe { table.get_unchecked(address / UNIT_BYTES % BINNED_UNITS) })
    }

    /// Whether the unit at `address` is in the table, with blocks of `class`.
    #[inline(always)]
    pub(super) fn has(&self, address: usize, class: Class) -> bool {
        self.entry(address).is_some_and(|entry| entry.get() == Self::value(address, class))
    }

    /// The class of the blocks in the unit at `address`, if it is in the table.
    #[inline(always)]
    pub(super) fn class_at(&self, address: usize) -> Option<Class> {
        let value = self.entry(address)?.get();
        if value % (1 << TAG_BITS) != Self::tag(address) {
            return None;
        }
        Class::at(((value >> TAG_BITS) as usize).wrapping_sub(1))
    }

    /// Enters the unit at `base`, with blocks of `class`. Another one may be forgotten for it.
    #[inline]
    pub(super) fn enter(&self, base: usize, class: Class) {
        if let Some(entry) = self.entry(base) {
            entry.set(Self::value(base, class));
        }
    }

    /// Clears the entry of the unit at `base`.
    pub(super) fn clear(&self, base: usize) {
        if self.class_at(base).is_some()
            && let Some(entry) = self.entry(base)
        {
            entry.set(NO_UNIT);
        }
    }

    /// Clears all entries.
    pub(super) fn clear_all(&self) {
        // SAFETY: as in `entry`.
        if let Some(table) = unsafe { self.0.load(Ordering::Acquire).as_ref() } {
            table.iter().for_each(|entry| entry.set(NO_UNIT));
        }
    }
}

const_assert!(BINNED_UNITS.is_power_of_two() && INLINE_CLASSES < 1 << (u32::BITS - TAG_BITS));
