//! The registry of large allocations: an open-addressed hash table from address to range.
//!
//! State: the table, which its user locks. A copy of the process may catch it between any two
//! writes (fork(2)): slots are written so that each is whole in one position at least.

use core::ptr::{self, NonNull};

use super::mapping_id::MappingId;
use super::survey::{Life, Listed};
use super::{Range, crowd};
use crate::base::address::align_down;
use crate::base::atomic::in_order;
use crate::memory::pending;
use crate::os;

/// Slots in the program's own data, so that a program with few large allocations maps nothing
/// for them; a power of two.
const FIRST_SLOTS: usize = 64;

#[derive(Clone, Copy)]
struct Slot {
    /// Address of the allocation, in the first page of its range; zero where the slot is free.
    address: usize,
    /// Bytes of the range.
    bytes: usize,
    mapping: MappingId,
    /// Address of the books of the group that the allocation belongs to; zero for none.
    owner: usize,
}

const FREE: Slot = Slot { address: 0, bytes: 0, mapping: MappingId::NONE, owner: 0 };

impl Slot {
    /// The allocation's offset in its range.
    fn offset(&self) -> usize {
        self.address.wrapping_sub(self.range_start())
    }

    /// The range begins with the page in which the allocation does.
    fn range_start(&self) -> usize {
        align_down(self.address, os::page_bytes())
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

    /// Changes the slot so that a copy of the process has it whole or free.
    fn write(&mut self, new: Self) {
        self.address = 0;
        in_order();
        (self.bytes, self.mapping, self.owner) = (new.bytes, new.mapping, new.owner);
        in_order();
        self.address = new.address;
    }
}

/// A table that has outgrown the registry's own: a mapping of `slots` slots.
#[derive(Clone, Copy)]
struct Grown {
    start: *mut Slot,
    slots: usize,
}

impl Grown {
    const NONE: Self = Self { start: ptr::null_mut(), slots: FIRST_SLOTS };
}

/// `used ≤ slots - slots / 4` after an insertion that grew the table, or could.
pub(super) struct Registry {
    first: [Slot; FIRST_SLOTS],
    /// The table in use, if it is not `first`, and the cell of the next one. A byte says which is
    /// which, so that a copy of the process has one of them whole.
    grown: [Grown; 2],
    is_second: bool,
    /// Allocations in the table.
    used: usize,
    /// Bytes of their ranges.
    live_bytes: usize,
    /// Slots kept free for allocations that are being resized.
    reserved: usize,
}

// SAFETY: the pointer is to a mapping that only this table uses.
unsafe impl Send for Registry {}

impl Registry {
    pub(super) const fn new() -> Self {
        Self {
            first: [FREE; FIRST_SLOTS],
            grown: [Grown::NONE; 2],
            is_second: false,
            used: 0,
            live_bytes: 0,
            reserved: 0,
        }
    }

    /// The number of allocations.
    pub(super) const fn len(&self) -> usize {
        self.used
    }

    /// Bytes of their ranges.
    pub(super) const fn live_bytes(&self) -> usize {
        self.live_bytes
    }

    /// Bytes mapped for the table.
    pub(super) const fn mapped_bytes(&self) -> usize {
        let grown = self.in_use();
        if grown.start.is_null() { 0 } else { grown.slots.wrapping_mul(size_of::<Slot>()) }
    }

    const fn in_use(&self) -> Grown {
        let [first, second] = self.grown;
        if self.is_second { second } else { first }
    }

    fn table(&mut self) -> &mut [Slot] {
        let grown = self.in_use();
        if grown.start.is_null() {
            return &mut self.first;
        }
        // SAFETY: the mapping has `slots` slots, zeroed or written, and is borrowed with `self`.
        unsafe { core::slice::from_raw_parts_mut(grown.start, grown.slots) }
    }

    const fn slots(&self) -> usize {
        self.in_use().slots
    }

    /// Enters the allocation that begins `offset` bytes, less than a page, into `range`. Returns
    /// its address; None where the table is full and cannot grow.
    #[must_use]
    pub(super) fn insert(&mut self, range: Range, offset: usize) -> Option<NonNull<u8>> {
        let taken = self.used.wrapping_add(self.reserved);
        if taken >= self.slots().wrapping_sub(self.slots() / 4) {
            self.grow();
        }
        // One slot stays free, so that every search ends.
        if taken.wrapping_add(1) >= self.slots() {
            return None;
        }
        crowd::enter(range);
        Some(self.enter(range, offset))
    }

    fn enter(&mut self, range: Range, offset: usize) -> NonNull<u8> {
        // SAFETY: the offset is less than a page, and ranges are whole pages.
        let start = unsafe { range.start.byte_add(offset) };
        let address = start.as_ptr().expose_provenance();
        if put(self.table(), Slot { address, bytes: range.bytes, mapping: range.mapping, owner: 0 }).is_some()
        {
            self.used = self.used.wrapping_add(1);
            self.live_bytes = self.live_bytes.wrapping_add(range.bytes);
        }
        start
    }

    /// Makes the table whole, of which another thread of the parent may have been moving a slot:
    /// each is whole in one position at least. For a child.
    pub(super) fn mend(&mut self) {
        let (mut used, mut live_bytes) = (0_usize, 0_usize);
        let table = self.table();
        let mask = table.len().wrapping_sub(1);
        // From a free slot on, each slot goes to the first position from its home on that is free
        // or its own, which is not behind its present one.
        let start = table.iter().position(|slot| slot.address == 0).unwrap_or(0);
        for step in 0..table.len() {
            let at = start.wrapping_add(step) & mask;
            let Some(slot) = table.get(at).copied().filter(|slot| slot.address != 0) else { continue };
            let Some(found) = find(table, slot.address) else { continue };
            if found != at {
                let is_twice = table.get(found).is_some_and(|other| other.address == slot.address);
                let _ = if is_twice { None } else { put(table, slot) };
                if let Some(old) = table.get_mut(at) {
                    old.write(FREE);
                }
                if is_twice {
                    continue;
                }
            }
            used = used.wrapping_add(1);
            live_bytes = live_bytes.wrapping_add(slot.bytes);
        }
        (self.used, self.live_bytes, self.reserved) = (used, live_bytes, 0);
    }

    /// As [`insert`](Self::insert), for an allocation that [`take`](Self::take) took out.
    pub(super) fn insert_again(&mut self, range: Range, offset: usize) -> NonNull<u8> {
        self.reserved = self.reserved.wrapping_sub(1);
        crowd::enter(range);
        self.enter(range, offset)
    }

    /// Takes out the range of the allocation at `start`, and keeps a slot free for
    /// [`insert_again`](Self::insert_again).
    pub(super) fn take(&mut self, start: NonNull<u8>) -> Option<Range> {
        let taken = self.remove(start)?;
        self.reserved = self.reserved.wrapping_add(1);
        Some(taken)
    }

    /// Bytes that the allocation at `start` may use.
    pub(super) fn get(&mut self, start: NonNull<u8>) -> Option<usize> {
        let at = find(self.table(), start.addr().get())?;
        let slot = self.table().get(at)?;
        if slot.address == 0 { None } else { Some(slot.usable_bytes()) }
    }

    /// Sets the owner of the allocation at `start`, the address of a group's books or zero. Returns
    /// the one before, and the bytes of the range.
    pub(super) fn set_owner(&mut self, start: NonNull<u8>, owner: usize) -> Option<(usize, usize)> {
        let at = find(self.table(), start.addr().get())?;
        let slot = self.table().get_mut(at).filter(|slot| slot.address != 0)?;
        Some((core::mem::replace(&mut slot.owner, owner), slot.bytes))
    }

    /// The owner of the allocation at `start`; zero for none.
    pub(super) fn owner(&mut self, start: NonNull<u8>) -> usize {
        let at = find(self.table(), start.addr().get());
        let slot = at.and_then(|at| self.table().get(at)).filter(|slot| slot.address != 0);
        slot.map_or(0, |slot| slot.owner)
    }

    /// Removes the allocation at `start`. Returns its range.
    pub(super) fn remove(&mut self, start: NonNull<u8>) -> Option<Range> {
        let table = self.table();
        let mut hole = find(table, start.addr().get())?;
        let found = *table.get(hole)?;
        if found.address == 0 {
            return None;
        }
        // Closes the gap: moves up every later slot of the cluster whose home is not after the
        // hole.
        let mask = table.len().wrapping_sub(1);
        let mut at = hole;
        loop {
            at = at.wrapping_add(1) & mask;
            let slot = *table.get(at)?;
            if slot.address == 0 {
                break;
            }
            let home = home(table, slot.address);
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(hole) & mask {
                table.get_mut(hole)?.write(slot);
                hole = at;
            }
        }
        table.get_mut(hole)?.write(FREE);
        self.used = self.used.wrapping_sub(1);
        self.live_bytes = self.live_bytes.wrapping_sub(found.bytes);
        let range = found.range()?;
        crowd::leave(range);
        Some(range)
    }

    /// Start of every allocation, and the bytes that it may use.
    pub(super) fn ranges(&mut self) -> impl Iterator<Item = (usize, usize)> {
        let slots = self.table().iter().filter(|slot| slot.address != 0);
        slots.map(|slot| (slot.address, slot.usable_bytes()))
    }

    /// Writes allocations into `into`, from position `at` of the table on. Returns how many, and
    /// the position to go on from; None there at the table's end.
    pub(super) fn list(&mut self, at: usize, into: &mut [Listed]) -> (usize, Option<usize>) {
        let slots = self.table().iter().enumerate().skip(at);
        let mut found = slots.filter(|(_, slot)| slot.address != 0);
        let mut written = 0_usize;
        for entry in into {
            let Some((_, slot)) = found.next() else { return (written, None) };
            *entry = Listed {
                address: slot.address,
                bytes: slot.usable_bytes(),
                life: Life::Live,
                owner: slot.owner,
            };
            written = written.wrapping_add(1);
        }
        (written, found.next().map(|(at, _)| at))
    }

    /// Makes the table four times as long, if there is memory.
    fn grow(&mut self) {
        let slots = self.slots().wrapping_mul(4);
        let Ok(fresh) = os::map(None, slots.wrapping_mul(size_of::<Slot>())) else { return };
        let fresh = Grown { start: fresh.as_ptr().cast(), slots };
        // SAFETY: the mapping was just made, has as many slots, and reads as zero.
        let table = unsafe { core::slice::from_raw_parts_mut(fresh.start, fresh.slots) };
        for slot in self.table().iter().filter(|slot| slot.address != 0) {
            let _ = put(table, *slot);
        }
        let old = self.in_use();
        let [first, second] = &mut self.grown;
        *(if self.is_second { first } else { second }) = fresh;
        in_order();
        self.is_second = !self.is_second;
        in_order();
        if let Some(start) = NonNull::new(old.start) {
            // SAFETY: the old table was copied, and nothing refers to it any more.
            unsafe { pending::unmap_or_keep(start.cast(), old.slots.wrapping_mul(size_of::<Slot>())) };
        }
    }
}

/// The position of `address` in `table`, if no other slot is in its way.
fn home(table: &[Slot], address: usize) -> usize {
    // Fibonacci hashing (Knuth, TAOCP 6.4) of the page number's upper bits.
    let hash = (address >> 12).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash >> table.len().leading_zeros().wrapping_add(1)
}

/// The position of `address`, or of the free slot where it would go.
fn find(table: &[Slot], address: usize) -> Option<usize> {
    let mask = table.len().wrapping_sub(1);
    let mut at = home(table, address);
    loop {
        let slot = table.get(at)?;
        if slot.address == address || slot.address == 0 {
            return Some(at);
        }
        at = at.wrapping_add(1) & mask;
    }
}

/// Writes `slot` to its position.
fn put(table: &mut [Slot], slot: Slot) -> Option<()> {
    let at = find(table, slot.address)?;
    table.get_mut(at)?.write(slot);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IteratorRandom};
    use std::collections::HashMap;

    fn at(page: usize) -> NonNull<u8> {
        NonNull::new(ptr::without_provenance_mut(page * os::page_bytes())).expect("not null")
    }

    /// An allocation for each of some pages, each at an offset of its own.
    fn offset(page: usize) -> usize {
        page % 64 * 64
    }

    fn start(page: usize) -> NonNull<u8> {
        NonNull::new(ptr::without_provenance_mut(page * os::page_bytes() + offset(page))).expect("not null")
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
                let expected = shadow.remove(&page).map(|bytes| Range {
                    start: at(page),
                    bytes,
                    mapping: MappingId::NONE,
                });
                assert_eq!(registry.remove(start(page)), expected);
                assert_eq!(registry.remove(start(page)), None);
            } else {
                let bytes = page * os::page_bytes();
                shadow.insert(page, bytes);
                let range = Range { start: at(page), bytes, mapping: MappingId::NONE };
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

    /// Every state in which a copy of the process can meet the table while a slot leaves it.
    #[test]
    fn a_removal_that_stops_anywhere_loses_no_other() {
        let mut random = StdRng::seed_from_u64(11);
        for _ in 0..2_000 {
            let mut registry = Registry::new();
            let pages: Vec<usize> = (0..40).map(|number| number * 50 + random.random_range(1..50)).collect();
            for page in &pages {
                let range =
                    Range { start: at(*page), bytes: page * os::page_bytes(), mapping: MappingId::NONE };
                assert!(registry.insert(range, 0).is_some());
            }
            let gone = pages[random.random_range(0..pages.len())];
            let (before, mut after) = (registry.first, registry);
            assert!(after.remove(at(gone)).is_some());
            // The hole wanders from the removed slot to the last that moved; it stops on the way,
            // the slot half written and the next one in two places, or whole.
            let changed: Vec<usize> = (0..FIRST_SLOTS)
                .map(|step| (home(&before, gone * os::page_bytes()) + step) % FIRST_SLOTS)
                .filter(|at| before[*at].address != after.first[*at].address)
                .collect();
            for stop in 0..=changed.len() {
                for half in [false, true] {
                    let mut copy = Registry::new();
                    copy.first = before;
                    changed[..stop].iter().for_each(|at| copy.first[*at] = after.first[*at]);
                    if let Some(next) = changed.get(stop).filter(|_| half) {
                        copy.first[*next] = Slot { bytes: 1, mapping: MappingId::plain(1), ..FREE };
                    }
                    copy.mend();
                    let others = pages.iter().filter(|page| **page != gone);
                    others
                        .clone()
                        .for_each(|page| assert_eq!(copy.get(at(*page)), Some(page * os::page_bytes())));
                    let is_left = copy.get(at(gone)).is_some();
                    assert_eq!(copy.used, others.count() + usize::from(is_left));
                    assert!(copy.remove(at(gone)).is_some() == is_left && copy.get(at(gone)).is_none());
                }
            }
        }
    }
}
