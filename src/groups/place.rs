//! Groups where the allocator itself runs: what the public types do with a record.

use core::ptr;

use super::{GroupId, GroupStats};
use crate::base::address::align_up;
use crate::base::config::UNIT_BYTES;
use crate::block::size_class::Class;
use crate::heap::{Heap, groups};
use crate::memory::chunk::UnitState;
use crate::memory::depot;
use crate::memory::slab::Slab;
use crate::os::{self, KeepErrno};
use crate::policy::books::{BlocksAndBytes, OnSoftLimit};

pub(super) use crate::heap::groups::{Record, create, current, leave, living};

/// A heap that was entered.
pub(super) type Entry = &'static Heap;

pub(super) fn enter(record: &'static Record) -> Option<Entry> {
    let _keep = KeepErrno::new();
    groups::enter(record)
}

/// The address of the group's books, by which large allocations know their group.
pub(super) fn id(record: &'static Record) -> Option<GroupId> {
    GroupId::of_books(ptr::from_ref(&record.books).addr())
}

pub(super) fn requested(record: &'static Record) -> usize {
    record.requested().live()
}

pub(super) fn held(record: &'static Record) -> usize {
    record.books.held()
}

pub(super) fn set_hard(record: &'static Record, bytes: usize) {
    record.books.set_hard(bytes);
}

pub(super) fn set_soft(record: &'static Record, bytes: usize, callback: OnSoftLimit) {
    record.books.set_soft(bytes, Some(callback));
}

pub(super) fn purge(record: &'static Record) {
    let _keep = KeepErrno::new();
    groups::purge(record);
}

/// How often a walk is repeated during which the group's heaps have taken in blocks.
const WALKS: u32 = 8;

pub(super) fn stats(record: &'static Record) -> GroupStats {
    let mut free = free_of(record);
    let mut stats = walk(record);
    for _ in 1..WALKS {
        let now = free_of(record);
        if now == free {
            break;
        }
        // A purge, for one, by another thread.
        (free, stats) = (now, walk(record));
    }
    stats.take_off(free);
    stats.frees_total = stats.allocations_total.map(|all| all.saturating_sub(stats.blocks as u64));
    stats
}

/// Everything but what slabs count as used though nobody has it.
fn walk(record: &'static Record) -> GroupStats {
    let (large, [limit, soft_limit]) = (record.books.large(), record.books.limits());
    let sampled = record.books.sampled();
    let requested = record.requested();
    let mut stats = GroupStats {
        requested: requested.live(),
        // Read heap by heap, so that it may be a sum that never was: not more than was held.
        requested_peak: record.books.requested_peak().max(requested.live()).min(record.books.peak()),
        requested_total: requested.allocated as u64,
        freed_total: requested.freed as u64,
        allocations_total: requested.allocations(),
        frees_total: None,
        allocated: large.bytes.wrapping_add(sampled.bytes),
        blocks: large.blocks.wrapping_add(sampled.blocks),
        large: large.bytes,
        large_count: large.blocks,
        held: record.books.held(),
        peak: record.books.peak(),
        active: large.bytes.wrapping_add(sampled.bytes),
        slabs: 0,
        limit,
        soft_limit,
        refusals_total: record.books.refusals(),
        heaps: record.heaps().count(),
    };
    let mut count = |unit| {
        if let UnitState::Slab(slab) = unit
            && record.heaps().any(|heap| ptr::eq(heap.inbox(), slab.home()))
        {
            stats.count(slab);
        }
    };
    depot::each_chunk(|chunk| chunk.survey(&mut count));
    stats
}

/// What slabs count as used and nobody has: blocks that were freed from outside and are not adopted
/// yet, and those in bins.
fn free_of(record: &Record) -> BlocksAndBytes {
    let (sent, adopted) = (record.books.sent(), record.adopted());
    // Counts are read one after another: the difference may be below zero.
    let difference =
        |sent: usize, adopted: usize| sent.wrapping_sub(adopted).cast_signed().max(0).cast_unsigned();
    let mut free = BlocksAndBytes {
        blocks: difference(sent.blocks, adopted.blocks),
        bytes: difference(sent.bytes, adopted.bytes),
    };
    for heap in record.heaps() {
        for (class, blocks) in heap.binned().enumerate() {
            free.add(blocks, Class::at(class).map_or(0, |class| class.shape().block as usize));
        }
    }
    free
}

impl GroupStats {
    fn count(&mut self, slab: &Slab) {
        let used = slab.used() as usize;
        self.blocks = self.blocks.wrapping_add(used);
        self.allocated = self.allocated.wrapping_add(used.wrapping_mul(slab.block_bytes()));
        self.active = self.active.wrapping_add(align_up(slab.carved_bytes(), os::page_bytes()));
        self.slabs = self.slabs.wrapping_add(slab.units().wrapping_mul(UNIT_BYTES));
    }

    fn take_off(&mut self, free: BlocksAndBytes) {
        self.blocks = self.blocks.saturating_sub(free.blocks);
        self.allocated = self.allocated.saturating_sub(free.bytes);
    }
}
