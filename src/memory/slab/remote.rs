//! What other threads do to a slab: their frees, from the publication to the adoption.

use core::ptr::{self, NonNull};

use super::{Occupancy, Slab};
use crate::base::atomic::in_order;
use crate::base::atomic::{AtomicPtr, AtomicU32, Ordering};
use crate::block::free_list::{self, Block};
use crate::block::hardening;
use crate::block::remote_list::{Chain, Published, Stack, Stacked};
use crate::os::fatal;

/// Where a heap is told that some of its slabs have remote frees. In a cache line of its own: other
/// threads write it, and beside it lies what the owner writes all the time.
#[repr(C, align(64))]
pub(crate) struct Inbox {
    announced: Stack<Slab>,
    /// Slabs of which all blocks have come back, and that were announced before, since this was last cleared.
    whole: AtomicU32,
}

impl Inbox {
    pub(crate) const fn new() -> Self {
        Self { announced: Stack::from_top(AtomicPtr::new(ptr::null_mut())), whole: AtomicU32::new(0) }
    }

    /// Whether nothing was announced; a moment's impression.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.announced.is_empty()
    }

    /// Announces `slab`, which the caller has made non-empty or was handed by another inbox.
    pub(crate) fn announce(&self, slab: &'static Slab) {
        self.announced.push(NonNull::from(slab));
    }

    /// Notes that all blocks of one of the slabs have come back.
    fn note_whole(&self) {
        self.whole.fetch_add(1, Ordering::Relaxed);
    }

    /// Slabs of which all blocks have come back since the last [`clear_whole`](Self::clear_whole), one by one.
    pub(crate) fn whole(&self) -> u32 {
        self.whole.load(Ordering::Relaxed)
    }

    /// Before the slabs are looked at.
    pub(crate) fn clear_whole(&self) {
        self.whole.store(0, Ordering::Relaxed);
    }

    /// Takes every announced slab.
    pub(crate) fn take_all(&self, mut each: impl FnMut(&'static Slab)) {
        // SAFETY: records live as long as their chunk, and a chunk with announced slabs has
        // used blocks and is never unmapped.
        self.announced.take_all(|slab| each(unsafe { slab.as_ref() }));
    }
}

impl Stacked for Slab {
    fn below(&self) -> &AtomicPtr<Self> {
        &self.below
    }
}

impl Slab {
    /// Adopts what other threads have freed, after the slab was announced.
    pub(crate) fn adopt(&self) -> Occupancy {
        // Before the list is taken: whoever publishes next notes its own.
        let noted = self.remote_last.load(Ordering::Relaxed);
        let taken = self.remote.take();
        if let Some(chain) = taken.chain {
            if chain.blocks > self.used() {
                // Linked twice, so perhaps in a circle: the blocks are never used again.
                fatal::caught("double free by another thread, in the slab", self.base());
                return Occupancy::Used;
            }
            let first = self.pointer(chain.first);
            // With the mark, nobody may have noted the last one.
            let last = match taken.marked {
                true => last_of(first, chain.blocks),
                false => self.pointer(noted),
            };
            // SAFETY: the publishers gave up the blocks from `first` to `last`, which they linked.
            unsafe { self.freed.or(&self.free).push_chain(first, last) };
            // A copy of the process that counts them as free has them on the list.
            in_order();
            let count = self.count.load(Ordering::Relaxed).wrapping_add(chain.blocks.cast_signed());
            self.count.store(count, Ordering::Relaxed);
        }
        if taken.marked
            && let Some(place) = self.suspect.swap(0, Ordering::Acquire).checked_sub(1)
        {
            self.judge(place);
        }
        if self.count.load(Ordering::Relaxed) == 0 { Occupancy::Empty } else { Occupancy::Used }
    }

    /// Whether nobody holds a block of this slab, and none is on its way: all used ones wait for their adoption.
    /// For the holder of the lock of the heap's lists, of a slab on one of them.
    ///
    /// Until it leaves that list, the number of used blocks only falls, and the number of waiting ones only
    /// rises and is never above it. So once they were seen to be equal, even one after the other, they are.
    pub(crate) fn is_unheld(&self) -> bool {
        // Acquire: the counterpart of the owner's count, behind what it wrote into the slab.
        let used = self.count.load(Ordering::Acquire).unsigned_abs();
        self.remote.peek().is_some_and(|chain| chain.blocks == used)
    }

    /// Whether the block at `address` was freed by another thread and waits for its adoption. For
    /// the owner, who alone adopts.
    pub(crate) fn awaits(&self, address: usize) -> bool {
        let Some(chain) = self.remote.peek() else { return false };
        let mut block = self.pointer(chain.first);
        for _ in 0..chain.blocks {
            if block.addr() == address {
                return true;
            }
            if !self.has_block_at(block.addr()) {
                return false;
            }
            // SAFETY: the publishers linked `blocks` blocks, and a block of the slab begins here.
            block = unsafe { crate::block::free_list::next_of(block) };
        }
        false
    }

    /// Takes back a block that looked free when another thread freed it, unless it is.
    #[cold]
    fn judge(&self, place: u32) {
        let block = self.block_at(place);
        // Without the tag, it was handed out in between: so it was free when it was freed.
        // SAFETY: the block's memory is the slab's, which is open.
        let tagged = unsafe { free_list::looks_free(block.address() as *const u8) };
        if !tagged || hardening::is_listed(self, block.address()) || self.used() == 0 {
            return fatal::caught("double free by another thread", block.address());
        }
        let _ = self.push(block);
    }

    /// Takes a block that looks free already from a thread that is not the owner's: the owner
    /// alone may look through the free list. Where another one waits for that, the block is given
    /// back. Returns the home if it had to be told.
    pub(crate) fn accuse(&'static self, block: Block) -> Result<Option<&'static Inbox>, Block> {
        let place = self.place_of(block.address() as *const u8).wrapping_add(1);
        if self.suspect.compare_exchange(0, place, Ordering::Release, Ordering::Relaxed).is_err() {
            return Err(block);
        }
        Ok(match self.remote.mark() {
            Published::First => self.announce(),
            Published::More => None,
        })
    }

    /// Gives back the chain of `blocks` from `first` to `last` to the slab's home.
    /// Returns the home if it had to be told, or if all blocks have come back now.
    ///
    /// # Safety
    /// The caller owns the chain: used blocks of this slab, linked from first to last.
    pub(crate) unsafe fn publish(
        &'static self,
        first: *mut u8,
        last: *mut u8,
        blocks: u32,
    ) -> Option<&'static Inbox> {
        let chain = Chain { first: self.place_of(first), blocks };
        // Before: afterwards the slab may be somebody else's, or gone.
        let (home, carved) = (self.home(), self.carved.get());
        let (published, waiting) = self.remote.publish(chain, |before| {
            // SAFETY: `last` is a block of the caller's chain until the publication succeeds.
            let last = unsafe { Block::from_raw(NonNull::new_unchecked(last)) };
            last.link(before.map_or(ptr::null_mut(), |place| self.pointer(place)));
        });
        if published == Published::More {
            if waiting < carved {
                return None;
            }
            // SAFETY: heaps are never unmapped.
            let home = unsafe { home.as_ref() }?;
            home.note_whole();
            return Some(home);
        }
        // The slab has used blocks until somebody adopts these, which takes the announcement.
        self.remote_last.store(self.place_of(last), Ordering::Relaxed);
        self.announce()
    }

    /// Tells the home. None where there is none: a block was given back that nobody had.
    fn announce(&'static self) -> Option<&'static Inbox> {
        // SAFETY: heaps are never unmapped.
        let home = unsafe { self.home().as_ref() };
        match home {
            Some(home) => home.announce(self),
            None => fatal::caught("double free by another thread, in the slab", self.base()),
        }
        home
    }
}

/// The last of a chain of `blocks`.
fn last_of(first: *mut u8, blocks: u32) -> *mut u8 {
    let mut last = first;
    for _ in 1..blocks {
        // SAFETY: the chain was given up by who linked it, and is that long.
        last = unsafe { free_list::next_of(last) };
    }
    last
}
