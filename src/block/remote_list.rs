//! Lock-free lists by which threads give blocks back to another one: many push, one takes.
//!
//! Nothing here knows slabs or blocks, so that the models in `tests/loom_remote.rs` run this
//! very file under `loom`.

use core::ptr::{self, NonNull};

use crate::base::atomic::{AtomicPtr, AtomicU64, Ordering};

/// Blocks of one slab that other threads have freed, newest chain first, linked through the blocks.
/// The head's offset in the slab, the number of blocks and a mark share one word: the owner takes
/// all with one swap, without a walk.
pub(crate) struct RemoteList(AtomicU64);

/// The mark: a double-free check is deferred to the owner.
const MARK: u64 = 1 << 63;

/// The content of a list when its owner takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// The blocks, if there are any.
    pub(crate) chain: Option<Chain>,
    /// Whether the list was marked.
    pub(crate) marked: bool,
}

/// A chain of blocks, linked from the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    /// Offset of the first block in its slab, in bytes.
    pub(crate) first: u32,
    /// How many blocks there are; not zero, and below 2^31.
    pub(crate) blocks: u32,
}

impl Chain {
    const fn pack(self) -> u64 {
        ((self.blocks as u64) << 32) | self.first as u64
    }

    const fn unpack(word: u64) -> Option<Self> {
        let chain = Self { first: word as u32, blocks: ((word & !MARK) >> 32) as u32 };
        if chain.blocks == 0 { None } else { Some(chain) }
    }
}

/// Whether a publication or a mark must be announced to the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Published {
    /// The list was empty: nobody has announced it since it was last taken.
    First,
    /// Whoever made the list non-empty announces, or has announced it.
    More,
}

impl RemoteList {
    pub(crate) const fn from_word(word: AtomicU64) -> Self {
        Self(word)
    }

    /// Puts `chain` in front. `link_last` links the chain's last block to the offset that it is
    /// given, the head so far; it runs once for each try. Also returns how many blocks the list has
    /// now.
    pub(crate) fn publish(&self, chain: Chain, mut link_last: impl FnMut(Option<u32>)) -> (Published, u32) {
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            let before = Chain::unpack(seen);
            link_last(before.map(|chain| chain.first));
            let blocks = before.map_or(0, |chain| chain.blocks).wrapping_add(chain.blocks);
            let word = Chain { first: chain.first, blocks }.pack() | (seen & MARK);
            // Release: whoever takes the list sees the links and all earlier uses of the blocks.
            // Acquire: a publisher that finds the list empty writes fields of the slab. Those
            // writes come after the ones by the publisher that did so before the last `take`.
            match self.0.compare_exchange_weak(seen, word, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(0) => return (Published::First, blocks),
                Ok(_) => return (Published::More, blocks),
                Err(now) => seen = now,
            }
        }
    }

    /// The blocks on the list; the answer may be outdated at once.
    pub(crate) fn peek(&self) -> Option<Chain> {
        // Acquire: whoever reads the chain sees its links.
        Chain::unpack(self.0.load(Ordering::Acquire))
    }

    /// Sets the mark.
    pub(crate) fn mark(&self) -> Published {
        // Release: who takes the mark sees which block it is about. Acquire: as in `publish`.
        match self.0.fetch_or(MARK, Ordering::AcqRel) {
            0 => Published::First,
            _ => Published::More,
        }
    }

    /// Takes everything. Only after the list was announced, so that each announcement is
    /// matched by one `take`.
    pub(crate) fn take(&self) -> Taken {
        // Acquire and release: the counterparts of both in `publish`.
        let word = self.0.swap(0, Ordering::AcqRel);
        Taken { chain: Chain::unpack(word), marked: word & MARK != 0 }
    }
}

/// A node of a [`Stack`].
pub(crate) trait Stacked: Sized {
    /// The link that the stack may write while the node is on it.
    fn below(&self) -> &AtomicPtr<Self>;
}

/// Announced nodes, newest first. A node is pushed by one thread at a time and never while
/// it is on a stack; all are taken at once, so there is no ABA.
pub(crate) struct Stack<T>(AtomicPtr<T>);

impl<T: Stacked> Stack<T> {
    pub(crate) const fn from_top(top: AtomicPtr<T>) -> Self {
        Self(top)
    }

    /// Puts `node` on top.
    pub(crate) fn push(&self, node: NonNull<T>) {
        let mut top = self.0.load(Ordering::Relaxed);
        loop {
            // SAFETY: the pusher has the node to itself until the exchange succeeds.
            unsafe { node.as_ref() }.below().store(top, Ordering::Relaxed);
            match self.0.compare_exchange_weak(top, node.as_ptr(), Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => top = now,
            }
        }
    }

    /// Whether no node is on the stack; the answer may be outdated at once.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.load(Ordering::Relaxed).is_null()
    }

    /// Takes every node; `each` gets them newest first and may push them elsewhere.
    pub(crate) fn take_all(&self, mut each: impl FnMut(NonNull<T>)) {
        let mut top = self.0.swap(ptr::null_mut(), Ordering::Acquire);
        while let Some(node) = NonNull::new(top) {
            // SAFETY: the taker has the nodes to itself; the link is read before `each` may reuse
            // it.
            top = unsafe { node.as_ref() }.below().load(Ordering::Relaxed);
            each(node);
        }
    }
}
