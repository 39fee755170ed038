//! The registry of large allocations: an open-addressed hash table from address to length.

use core::ptr::{self, NonNull};

use super::{Range, crowd};
use crate::address::align_down;
use crate::stray;
use crate::sys;

/// Slots in the program's own data, so that a program with few large allocations maps nothing
/// for them; a power of two.
const FIRST_SLOTS: usize = 64;

#[derive(Clone, Copy)]
struct Slot {
    /// Address of the allocation, in the first page of its range; zero where the slot is free.
    address: usize,
    /// Bytes of the range.
    bytes: usize,
    mapping: u64,
}

const FREE: Slot = Slot { address: 0, bytes: 0, mapping: 0 };

impl Slot {
    /// How far into its range the allocation begins.
    fn offset(&self) -> usize {
        self.address.wrapping_sub(self.range_start())
    }

    /// The range begins with the page in which the allocation does.
    fn range_start(&self) -> usize {
        align_down(self.address, sys::page_bytes())
    }

    /// Bytes from the allocation's beginning to the end of its range.
    fn usable_bytes(&self) -> usize {
        self.bytes.wrapping_sub(self.offset())
    }

    fn range(&self) -> Option<Range> {
        // From the mapping's own provenance: the caller's pointer may reach its block only.
        let start = NonNull::new(ptr::with_exposed_provenance_mut(self.range_start()))?;
        Some(Range { start, bytes: self.bytes, mapping: self.mapping })
    }
}

/// `used ≤ slots - slots / 4` after an insertion that grew the table, or could.
pub(super) struct Registry {
    first: [Slot; FIRST_SLOTS],
    /// The table once it has outgrown `first`: a mapping of `slots` slots.
    grown: *mut Slot,
    slots: usize,
    used: usize,
    /// Bytes of their ranges.
    live_bytes: usize,
    /// Places kept for allocations that are being resized.
    reserved: usize,
}

// SAFETY: the pointer is to a mapping that only this table uses.
unsafe impl Send for Registry {}

impl Registry {
    pub(super) const fn new() -> Self {
        Self {
            first: [FREE; FIRST_SLOTS],
            grown: ptr::null_mut(),
            slots: FIRST_SLOTS,
            used: 0,
            live_bytes: 0,
            reserved: 0,
        }
    }

    /// How many allocations are noted.
    pub(super) const fn len(&self) -> usize {
        self.used
    }

    /// Bytes of their ranges.
    pub(super) const fn live_bytes(&self) -> usize {
        self.live_bytes
    }

    /// Bytes mapped for the table.
    pub(super) const fn mapped_bytes(&self) -> usize {
        if self.grown.is_null() { 0 } else { self.slots.wrapping_mul(size_of::<Slot>()) }
    }

    fn table(&mut self) -> &mut [Slot] {
        if self.grown.is_null() {
            return &mut self.first;
        }
        // SAFETY: the mapping has `slots` slots, zeroed or written, and is borrowed with `self`.
        unsafe { core::slice::from_raw_parts_mut(self.grown, self.slots) }
    }

    fn home(&self, address: usize) -> usize {
        // Fibonacci hashing (Knuth, TAOCP 6.4) of the page number's upper bits.
        let hash = (address >> 12).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash >> self.slots.leading_zeros().wrapping_add(1)
    }

    /// Position of `address`, or of the free slot where it would go.
    fn find(&mut self, address: usize) -> Option<usize> {
        let mask = self.slots.wrapping_sub(1);
        let mut at = self.home(address);
        loop {
            let slot = self.table().get(at)?;
            if slot.address == address || slot.address == 0 {
                return Some(at);
            }
            at = at.wrapping_add(1) & mask;
        }
    }

    /// Notes the allocation that begins `offset` bytes, less than a page, into `range`. Says where that is;
    /// None where the table is full and cannot grow.
    #[must_use]
    pub(super) fn insert(&mut self, range: Range, offset: usize) -> Option<NonNull<u8>> {
        let taken = self.used.wrapping_add(self.reserved);
        if taken >= self.slots.wrapping_sub(self.slots / 4) {
            self.grow();
        }
        // One slot stays free, so that every search ends.
        if taken.wrapping_add(1) >= self.slots {
            return None;
        }
        crowd::enter(range);
        Some(self.place(range, offset))
    }

    fn place(&mut self, range: Range, offset: usize) -> NonNull<u8> {
        // SAFETY: the offset is less than a page, and ranges are whole pages.
        let start = unsafe { range.start.byte_add(offset) };
        let address = start.as_ptr().expose_provenance();
        if let Some(at) = self.find(address)
            && let Some(slot) = self.table().get_mut(at)
        {
            *slot = Slot { address, bytes: range.bytes, mapping: range.mapping };
            self.used = self.used.wrapping_add(1);
            self.live_bytes = self.live_bytes.wrapping_add(range.bytes);
        }
        start
    }

    /// As [`insert`](Self::insert), for an allocation that [`take`](Self::take) took out.
    pub(super) fn insert_again(&mut self, range: Range, offset: usize) -> NonNull<u8> {
        self.reserved = self.reserved.wrapping_sub(1);
        crowd::enter(range);
        self.place(range, offset)
    }

    /// Takes out the range of the allocation at `start`, and keeps its place for [`insert_again`](Self::insert_again).
    pub(super) fn take(&mut self, start: NonNull<u8>) -> Option<Range> {
        let taken = self.remove(start)?;
        self.reserved = self.reserved.wrapping_add(1);
        Some(taken)
    }

    /// Bytes that the allocation at `start` may use.
    pub(super) fn get(&mut self, start: NonNull<u8>) -> Option<usize> {
        let at = self.find(start.addr().get())?;
        let slot = self.table().get(at)?;
        if slot.address == 0 { None } else { Some(slot.usable_bytes()) }
    }

    /// Forgets the allocation at `start`. Its range is the answer.
    pub(super) fn remove(&mut self, start: NonNull<u8>) -> Option<Range> {
        let mut hole = self.find(start.addr().get())?;
        let found = *self.table().get(hole)?;
        if found.address == 0 {
            return None;
        }
        // Close the gap: move up every later slot of the cluster whose home is not after the hole.
        let mask = self.slots.wrapping_sub(1);
        let mut at = hole;
        loop {
            at = at.wrapping_add(1) & mask;
            let slot = *self.table().get(at)?;
            if slot.address == 0 {
                break;
            }
            let home = self.home(slot.address);
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(hole) & mask {
                *self.table().get_mut(hole)? = slot;
                hole = at;
            }
        }
        *self.table().get_mut(hole)? = FREE;
        self.used = self.used.wrapping_sub(1);
        self.live_bytes = self.live_bytes.wrapping_sub(found.bytes);
        let range = found.range()?;
        crowd::leave(range);
        Some(range)
    }

    /// Address and length of every allocation.
    pub(super) fn ranges(&mut self) -> impl Iterator<Item = (usize, usize)> {
        let slots = self.table().iter().filter(|slot| slot.address != 0);
        slots.map(|slot| (slot.address, slot.bytes))
    }

    /// Writes allocations into `into`, from position `at` of the table on. Says how many, and where
    /// to go on; None there at the table's end.
    pub(super) fn list(&mut self, at: usize, into: &mut [(usize, usize)]) -> (usize, Option<usize>) {
        let slots = self.table().iter().enumerate().skip(at);
        let mut found = slots.filter(|(_, slot)| slot.address != 0);
        let mut written = 0_usize;
        for place in into {
            let Some((_, slot)) = found.next() else { return (written, None) };
            *place = (slot.address, slot.usable_bytes());
            written = written.wrapping_add(1);
        }
        (written, found.next().map(|(at, _)| at))
    }

    /// Makes the table four times as long, if there is memory.
    fn grow(&mut self) {
        let slots = self.slots.wrapping_mul(4);
        let Ok(fresh) = sys::map(None, slots.wrapping_mul(size_of::<Slot>())) else { return };
        let (old, old_slots) = (self.grown, self.slots);
        let mut before = self.first;
        let old_table: &mut [Slot] = match NonNull::new(old) {
            // SAFETY: the old mapping, which nothing else refers to from here on.
            Some(old) => unsafe { core::slice::from_raw_parts_mut(old.as_ptr(), old_slots) },
            None => &mut before,
        };
        self.grown = fresh.as_ptr().cast();
        self.slots = slots;
        self.used = 0;
        self.live_bytes = 0;
        for slot in old_table.iter().filter(|slot| slot.address != 0) {
            if let Some(range) = slot.range() {
                self.place(range, slot.offset());
            }
        }
        if let Some(old) = NonNull::new(old) {
            // SAFETY: the old table was copied, and nothing refers to it any more.
            unsafe { stray::give_back(old.cast(), old_slots.wrapping_mul(size_of::<Slot>())) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IteratorRandom};
    use std::collections::HashMap;

    fn at(page: usize) -> NonNull<u8> {
        NonNull::new(ptr::without_provenance_mut(page << 12)).expect("not null")
    }

    /// An allocation for each of some pages, each at a place of its own in its page.
    fn offset(page: usize) -> usize {
        page % 64 * 64
    }

    fn start(page: usize) -> NonNull<u8> {
        NonNull::new(ptr::without_provenance_mut((page << 12) + offset(page))).expect("not null")
    }

    #[test]
    fn agrees_with_a_map() {
        let mut random = StdRng::seed_from_u64(7);
        let mut registry = Registry::new();
        let mut shadow = HashMap::new();
        for _ in 0..50_000 {
            let page = random.random_range(1..3000);
            if shadow.contains_key(&page) || shadow.len() > 1500 {
                let page = *shadow.keys().choose(&mut random).expect("not empty");
                let expected = shadow.remove(&page).map(|bytes| Range { start: at(page), bytes, mapping: 0 });
                assert_eq!(registry.remove(start(page)), expected);
                assert_eq!(registry.remove(start(page)), None);
            } else {
                let bytes = page << 12;
                shadow.insert(page, bytes);
                let range = Range { start: at(page), bytes, mapping: 0 };
                assert_eq!(registry.insert(range, offset(page)), Some(start(page)));
                if offset(page) != 0 {
                    assert_eq!(registry.remove(at(page)), None, "the range begins there, no allocation");
                }
            }
            assert_eq!(registry.used, shadow.len());
        }
        for (page, bytes) in shadow {
            assert_eq!(registry.get(start(page)), Some(bytes - offset(page)));
        }
    }
}
