//! Which way blocks are asked for and given back: with their layout, as Rust does, or by address
//! alone, as C does. Both doors lead into the same house, so what came through the first may go
//! through the second.

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::{self, NonNull};

use clap::ValueEnum;
use freestone::inspect::What;
use freestone::{Freestone, untyped};

use crate::run;

/// What is under test. The harness's own memory has another door: see [`crate::limits::Exempt`].
static UNDER_TEST: Freestone = Freestone::new();

/// The doors that a run uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Doors {
    /// `GlobalAlloc`, with layouts
    Rust,
    /// `freestone::untyped`, without
    C,
    /// Either, and in through the first, out through the second
    Both,
}

impl Doors {
    /// Whether each block comes and goes with its layout.
    pub(crate) fn have_layouts(self) -> bool {
        self == Self::Rust
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::C => "c",
            Self::Both => "both",
        }
    }
}

/// The door through which a block goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Rust,
    C,
}

/// In through which door, and out through which: for a block, its id decides.
fn doors_of(id: u64) -> (Door, Door) {
    match run::current().map_or(Doors::Rust, |run| run.options.doors) {
        Doors::Rust => (Door::Rust, Door::Rust),
        Doors::C => (Door::C, Door::C),
        // Ids count up, or are drawn: either way their bits are mixed first.
        Doors::Both => match id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 62 {
            0 | 1 => (Door::C, Door::C),
            2 => (Door::Rust, Door::C),
            _ => (Door::Rust, Door::Rust),
        },
    }
}

/// A block of `layout` for `id`, null where there is no memory, and the door for its way back.
pub(crate) fn allocate(layout: Layout, id: u64) -> (*mut u8, Door) {
    let (way_in, way_out) = doors_of(id);
    let start = match way_in {
        // SAFETY: no layout here has size zero.
        Door::Rust => unsafe { UNDER_TEST.alloc(layout) },
        Door::C if layout.align() <= untyped::MIN_ALIGN => untyped::allocate(layout.size()),
        Door::C => untyped::allocate_aligned(layout.size(), layout.align()),
    };
    (start, way_out)
}

/// As [`allocate`], all zero.
pub(crate) fn allocate_zeroed(layout: Layout, id: u64) -> (*mut u8, Door) {
    let (way_in, way_out) = doors_of(id);
    let start = match way_in {
        // SAFETY: no layout here has size zero.
        Door::Rust => unsafe { UNDER_TEST.alloc_zeroed(layout) },
        Door::C => untyped::allocate_zeroed(layout.size(), layout.align()),
    };
    (start, way_out)
}

impl Door {
    /// The block at another size, which is not zero; null where there is no memory.
    ///
    /// # Safety
    /// The block is live, of this layout, and came with this door; the new size makes a layout.
    pub(crate) unsafe fn reallocate(self, start: NonNull<u8>, layout: Layout, size: usize) -> *mut u8 {
        match self {
            // SAFETY: forwarded to the caller.
            Self::Rust => unsafe { UNDER_TEST.realloc(start.as_ptr(), layout, size) },
            // SAFETY: forwarded to the caller.
            Self::C if layout.align() <= untyped::MIN_ALIGN => unsafe {
                untyped::reallocate(start.as_ptr(), size)
            },
            // C has no call that keeps an alignment: its programs do this.
            Self::C => {
                let fresh = untyped::allocate_aligned(size, layout.align());
                if !fresh.is_null() {
                    // SAFETY: both blocks are live, distinct, and at least this long.
                    unsafe { ptr::copy_nonoverlapping(start.as_ptr(), fresh, layout.size().min(size)) };
                    // SAFETY: forwarded to the caller.
                    unsafe { untyped::free(start.as_ptr()) };
                }
                fresh
            }
        }
    }

    /// Gives the block back.
    ///
    /// # Safety
    /// The block is live, of this layout, came with this door, and is forgotten hereby.
    pub(crate) unsafe fn free(self, start: NonNull<u8>, layout: Layout) {
        match self {
            // SAFETY: forwarded to the caller.
            Self::Rust => unsafe { UNDER_TEST.dealloc(start.as_ptr(), layout) },
            // SAFETY: forwarded to the caller.
            Self::C => unsafe { untyped::free(start.as_ptr()) },
        }
    }

    /// Bytes of the block that are its user's, as the door says; none where it does not.
    pub(crate) fn usable_size(self, start: NonNull<u8>) -> Option<usize> {
        match self {
            Self::Rust => None,
            // SAFETY: the caller holds the block.
            Self::C => Some(unsafe { untyped::usable_size(start.as_ptr()) }),
        }
    }

    /// Bytes that the block has, where its layout does not say so.
    pub(crate) fn block_bytes(self, start: NonNull<u8>) -> Option<usize> {
        match (self, freestone::describe(start.as_ptr()).what) {
            (Self::C, What::Block { bytes, .. } | What::Large { bytes, .. }) => Some(bytes),
            _ => None,
        }
    }
}
