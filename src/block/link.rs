//! The first word of a free block, which leads to the next one, and the key it is encoded with.
//!
//! Everything that has free blocks stands above this file.

use core::ptr;

use crate::base::config::CHUNK_BYTES;
use crate::block::secret;
use crate::os::fatal;

/// Whether the `secure` feature hardens blocks. Each step that it adds begins with this question.
pub(crate) const ON: bool = cfg!(feature = "secure");

/// The key of a block's address. In the `secure` build: a word that only the process can compute.
/// It is never written to memory; links and canaries are made with two different hashes of it.
#[cfg(feature = "secure")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key(u64);

/// The key of a block's address. In the default build: nothing, so that it needs no register.
#[cfg(not(feature = "secure"))]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key;

#[cfg(feature = "secure")]
impl Key {
    #[inline(always)]
    const fn from_word(word: u64) -> Self {
        Self(word)
    }

    #[inline(always)]
    const fn word(self) -> u64 {
        self.0
    }
}

#[cfg(not(feature = "secure"))]
impl Key {
    #[inline(always)]
    const fn from_word(_word: u64) -> Self {
        Self
    }

    #[inline(always)]
    const fn word(self) -> u64 {
        0
    }
}

impl Key {
    #[inline(always)]
    pub(crate) fn of(start: *const u8) -> Self {
        Self::from_word(if ON { secret::key_of(start.addr()) } else { 0 })
    }

    /// The hash that the block's canary and padding are made with.
    #[inline(always)]
    pub(super) fn canary_hash(self) -> u64 {
        secret::canary_of(self.word())
    }

    /// The hash that the block's link is made with.
    #[inline(always)]
    fn link_hash(self) -> usize {
        secret::link_of(self.word()) as usize
    }
}

/// The link from a free block to the next one on its list. In the `secure` build it is encoded with
/// the key of the block that holds it.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct Link(*mut u8);

/// The bits in which the addresses of two blocks of a chunk may differ.
const STEP_BITS: usize = CHUNK_BYTES - size_of::<u64>();

impl Link {
    /// The link to the block at `to`, from the block with this key.
    #[inline(always)]
    pub(crate) fn new(key: Key, to: *mut u8) -> Self {
        if !ON {
            return Self(to);
        }
        Self(ptr::without_provenance_mut(to.addr() ^ key.link_hash()))
    }

    /// Where the link in the block at `from` leads. None where that is not in the same chunk: at
    /// the end of a list, and where the link was overwritten.
    #[inline(always)]
    pub(crate) fn follow(self, key: Key, from: *const u8) -> Option<*mut u8> {
        if !ON {
            return Some(self.0);
        }
        let to = self.0.addr() ^ key.link_hash();
        if (to ^ from.addr()) & !STEP_BITS != 0 {
            return None;
        }
        Some(ptr::with_exposed_provenance_mut(to))
    }

    /// Null, for a link that [`follow`](Self::follow) refuses. Unless the list ends here the link
    /// is broken, which is reported. Where the process goes on, the blocks behind it are never used
    /// again.
    #[cold]
    #[inline(never)]
    pub(crate) fn end(self, key: Key, from: *const u8) -> *mut u8 {
        if self.0.addr() != key.link_hash() {
            fatal::caught("write to a free block", from.addr());
        }
        ptr::null_mut()
    }
}
