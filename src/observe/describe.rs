//! What lies at an address: for error messages, and for a debugger's `call`.

use core::fmt;

use crate::observe::stats::HeapUser;

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod look;

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub use look::describe;

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
    /// In use, or freed by another thread that has not sent it to its slab yet. Said only of slabs
    /// of the calling thread.
    Live,
    /// Free: on its slab's list, or freed by another thread and on its way there. Said only of
    /// slabs of the calling thread, whose lists it may look through.
    Free,
    /// Handed out at least once, in a slab of another thread: in use or free. Only that thread can
    /// know, since nothing of the block is read that others may be writing. Also where the calling
    /// thread's lists are in use, as within a signal handler.
    Unknown,
    /// Never handed out.
    Untouched,
}

impl fmt::Display for BlockState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Live => "live",
            Self::Free => "free",
            Self::Unknown => "in use or free, as its slab's thread knows",
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
