//! What lies at an address: for error messages, and for a debugger's `call`.

use core::fmt;
use core::ptr;

use crate::chunk::{Chunk, UnitState};
use crate::config::{CHUNK_BYTES, UNIT_BYTES};
use crate::depot;
use crate::hardening;
use crate::heap::tally;
use crate::large::{self, Life};
use crate::slab::{Inbox, Slab};
use crate::stats::HeapUser;
use crate::thread;

/// What lies at an address; made by [`describe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Description {
    /// The address asked about.
    pub address: usize,
    /// What lies there.
    pub what: What,
}

/// See [`Description`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// A block of a slab.
    #[non_exhaustive]
    Block {
        /// Where the block begins.
        start: usize,
        /// Its length in bytes, that of its size class.
        bytes: usize,
        /// Where its slab begins.
        slab: usize,
        /// What is known of its use.
        state: BlockState,
        /// Whose slab it is.
        owner: HeapUser,
    },
    /// The end of a slab, too short for a block.
    #[non_exhaustive]
    Tail {
        /// Where the slab begins.
        slab: usize,
    },
    /// A large allocation, a mapping of its own.
    #[non_exhaustive]
    Large {
        /// Where it begins.
        start: usize,
        /// Its length in bytes, whole OS pages.
        bytes: usize,
    },
    /// A large allocation that was freed and is kept for reuse.
    #[non_exhaustive]
    Retained {
        /// Where it begins.
        start: usize,
        /// Its length in bytes.
        bytes: usize,
    },
    /// Pages of a chunk that are in no slab.
    #[non_exhaustive]
    Unused {
        /// Whether they may be resident.
        dirty: bool,
    },
    /// Records of the allocator's own, at the beginning of a chunk.
    Records,
    /// Nothing of the allocator's.
    Foreign,
    /// Not known: the books are in use, perhaps by the very thread that asks.
    Busy,
}

/// What is known of a block's use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlockState {
    /// In use. Said only of slabs of the calling thread, whose lists it may look through.
    Live,
    /// Free: on its slab's list, or freed by another thread and on its way there.
    Free,
    /// It carries the mark of a free block, and is on no list that the calling thread may look
    /// through: freed by or for another thread, or, one chance in 2^64, user data that looks so.
    Marked,
    /// It carries no mark, and belongs to another thread: in use, or freed and written since.
    Unmarked,
    /// Never handed out.
    Untouched,
}

/// Says what lies at an address: any address, foreign and unmapped ones included; nothing is
/// read that might not be mapped. It does not allocate. The answer is a moment's impression where
/// other threads use what lies there.
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
    let mut what = What::Foreign;
    large::list(|start, bytes, life| {
        if address.wrapping_sub(start) < bytes {
            what = match life {
                Life::Live => What::Large { start, bytes },
                Life::Retained => What::Retained { start, bytes },
            };
        }
    });
    what
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
    let marked = unsafe { hardening::looks_free_from_afar(slab, ptr::with_exposed_provenance(start)) };
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

impl fmt::Display for BlockState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Live => "live",
            Self::Free => "free",
            Self::Marked => "marked as free, on its way back",
            Self::Unmarked => "in use, as far as another thread can tell",
            Self::Untouched => "never handed out",
        })
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.address;
        write!(f, "{address:#x}: ")?;
        let within = |f: &mut fmt::Formatter<'_>, start: usize| match address.wrapping_sub(start) {
            0 => Ok(()),
            offset => write!(f, "{offset} bytes into "),
        };
        match self.what {
            What::Block { start, bytes, slab, state, owner } => {
                within(f, start)?;
                write!(f, "a block of {bytes} bytes at {start:#x}, {state}, in the slab at {slab:#x} of ")?;
                match owner {
                    HeapUser::Thread(thread) => write!(f, "thread {thread}"),
                    HeapUser::Nobody => f.write_str("no thread"),
                    HeapUser::Shared => f.write_str("all threads"),
                }
            }
            What::Tail { slab } => write!(f, "the unused end of the slab at {slab:#x}"),
            What::Large { start, bytes } => {
                within(f, start)?;
                write!(f, "a large allocation of {bytes} bytes at {start:#x}, live")
            }
            What::Retained { start, bytes } => {
                within(f, start)?;
                write!(f, "a large allocation of {bytes} bytes at {start:#x}, freed")
            }
            What::Unused { dirty: true } => f.write_str("pages of no slab, not purged yet"),
            What::Unused { dirty: false } => f.write_str("pages of no slab, untouched or purged"),
            What::Records => f.write_str("the allocator's own records"),
            What::Foreign => f.write_str("nothing of the allocator's"),
            What::Busy => f.write_str("not known, the allocator's books are in use"),
        }
    }
}
