//! The looking itself.

use core::ptr;

use super::{BlockState, Description, What};
use crate::base::config::{CHUNK_BYTES, UNIT_BYTES};
use crate::heap::tally;
use crate::heap::thread;
use crate::memory::chunk::{Chunk, UnitState};
use crate::memory::depot;
use crate::memory::large::{self, Life};
use crate::memory::slab::{Inbox, Slab};
use crate::observe::stats::HeapUser;

/// Says what lies at an address: any address, foreign and unmapped ones included; nothing is
/// read that might not be mapped. It does not allocate. The answer is a moment's impression where
/// other threads use what lies there.
///
/// A signal handler may call it, whatever its thread was doing: each lock is waited for a moment
/// only, and then the answer is [`What::Busy`].
#[must_use]
pub fn describe<T: ?Sized>(pointer: *const T) -> Description {
    let address = pointer.cast::<u8>().addr();
    let what = depot::inspect(address, |chunk| chunk.map(|chunk| in_chunk(chunk, address)));
    Description {
        address,
        what: match what {
            Some(Some(what)) => what,
            Some(None) => elsewhere(address),
            None => What::Busy,
        },
    }
}

fn elsewhere(address: usize) -> What {
    match large::inspect(address) {
        Ok(Some((start, bytes, Life::Live))) => What::Large { start, bytes },
        Ok(Some((start, bytes, Life::Retained))) => What::Retained { start, bytes },
        Ok(None) => What::Foreign,
        Err(large::Busy) => What::Busy,
    }
}

/// Under the depot's lock.
fn in_chunk(chunk: &'static Chunk, address: usize) -> What {
    let unit = (address % CHUNK_BYTES / UNIT_BYTES) as u32;
    match chunk.unit_state(unit) {
        UnitState::Header => What::Records,
        UnitState::Dirty => What::Unused { dirty: true },
        UnitState::Clean => What::Unused { dirty: false },
        UnitState::Slab(slab) => in_slab(slab, address),
        UnitState::Taken => {
            let slab = chunk.slab_at(unit);
            // Without a home the units are between two owners.
            if slab.home().is_null() { What::Unused { dirty: true } } else { in_slab(slab, address) }
        }
    }
}

fn in_slab(slab: &'static Slab, address: usize) -> What {
    let base = slab.base();
    let bytes = slab.block_bytes();
    let index = address.wrapping_sub(base).checked_div(bytes).unwrap_or(0);
    if index >= slab.capacity() {
        return What::Tail { slab: base };
    }
    let start = base.wrapping_add(index.wrapping_mul(bytes));
    What::Block { start, bytes, slab: base, state: state(slab, start), owner: owner(slab.home()) }
}

fn state(slab: &'static Slab, start: usize) -> BlockState {
    if !slab.has_block_at(start) {
        return BlockState::Untouched;
    }
    let is_free = thread::heap().has_free_at(slab, start);
    if is_free == Some(true) {
        return BlockState::Free;
    }
    let is_own = is_free.is_some();
    // SAFETY: a block that was carved begins here, and its chunk stays mapped under the depot's
    // lock.
    let marked = unsafe { slab.looks_free(ptr::with_exposed_provenance(start)) };
    match (marked, is_own) {
        (true, _) => BlockState::Marked,
        (false, true) => BlockState::Live,
        (false, false) => BlockState::Unmarked,
    }
}

fn owner(home: *const Inbox) -> HeapUser {
    // The inbox comes first in a heap.
    let found = tally::heaps().enumerate().find(|(_, heap)| ptr::eq(heap.inbox(), home));
    match found {
        Some((0, _)) => HeapUser::Shared,
        Some((_, heap)) if heap.tally.thread() != 0 => HeapUser::Thread(heap.tally.thread()),
        _ => HeapUser::Nobody,
    }
}
