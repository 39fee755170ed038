//! Frees by other threads than the owner, from their publication to their adoption.
//!
//! State: the second cache line of a slab's record, and the [`Inbox`] of each heap. A publisher
//! that finds the slab's remote list empty announces the slab at its home's inbox; the owner adopts
//! the blocks of the slabs announced there.

use core::iter;
use core::ptr::{self, NonNull};

use super::{Occupancy, Slab};
use crate::base::atomic::in_order;
use crate::base::atomic::{AtomicPtr, AtomicU32, Ordering};
use crate::block::free_list::{self, Block};
use crate::block::remote_list::{Chain, Published, Stack, Stacked};
use crate::os::fatal;

/// A heap's slabs with remote frees. In a cache line of its own: other threads write it, and beside
/// it lie fields that the owner writes all the time.
#[repr(C, align(64))]
pub(crate) struct Inbox {
    announced: Stack<Slab>,
    /// Slabs announced before of which all blocks have come back, since this was last cleared.
    whole: AtomicU32,
}

impl Inbox {
    pub(crate) const fn new() -> Self {
        Self { announced: Stack::from_top(AtomicPtr::new(ptr::null_mut())), whole: AtomicU32::new(0) }
    }

    /// Whether no slab was announced; the answer may be outdated at once.
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

    /// How many slabs announced before have got all blocks back since the last
    /// [`clear_whole`](Self::clear_whole).
    pub(crate) fn whole(&self) -> u32 {
        self.whole.load(Ordering::Relaxed)
    }

    /// Begins the count of [`whole`](Self::whole) anew; before the announced slabs are taken.
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
        &self.next_announced
    }
}

impl Slab {
    /// Adopts the blocks that other threads have freed. Only after the slab was announced.
    pub(crate) fn adopt(&self) -> Occupancy {
        // Before the list is taken: the next publisher overwrites it.
        let noted = self.remote_last.load(Ordering::Relaxed);
        let taken = self.remote.take();
        if let Some(chain) = taken.chain {
            if chain.blocks > self.used() {
                // A block is linked twice, perhaps in a circle: the blocks are never used again.
                fatal::caught("double free by another thread, in the slab", self.base());
                return Occupancy::Used;
            }
            let first = self.pointer(chain.first);
            let is_double = if self.feeds_bins() {
                !self.adopt_absent(self.blocks_of(chain))
            } else {
                self.has_absent() && self.blocks_of(chain).any(|block| self.is_absent(block.addr()))
            };
            if is_double {
                fatal::caught("double free by another thread, in the slab", self.base());
                return Occupancy::Used;
            }
            // A mark that came first has made the announcement: then no publisher wrote the last
            // block.
            let last = match taken.marked {
                true => last_of(first, chain.blocks),
                false => self.pointer(noted),
            };
            if !self.feeds_bins() {
                // SAFETY: the publishers gave up the blocks from `first` to `last`, which they
                // linked.
                unsafe { self.quarantine.or(&self.free).push_chain(first, last) };
            }
            // A forked child that counts the blocks as free has them on the list.
            in_order();
            let count = self.count.load(Ordering::Relaxed).wrapping_add(chain.blocks.cast_signed());
            self.count.store(count, Ordering::Relaxed);
        }
        if taken.marked
            && let Some(offset) = self.deferred.swap(0, Ordering::Acquire).checked_sub(1)
        {
            self.check_deferred(offset);
        }
        self.occupancy()
    }

    /// Whether nobody holds a block of this slab, and none is in an outbox: all used ones are on
    /// the remote list. For the holder of the lock of the heap's lists, of a slab on one of them.
    ///
    /// Until the slab leaves that list, the number of used blocks only falls. The number of
    /// published ones only rises, and is never above it. So once both were read as equal, even one
    /// after the other, they are equal.
    pub(crate) fn is_unheld(&self) -> bool {
        // Acquire: the counterpart of the owner's counting, which follows its writes to the slab.
        let used = self.used_at(Ordering::Acquire);
        self.remote.peek().is_some_and(|chain| chain.blocks == used)
    }

    /// Whether the block at `address` is on the remote list. For the owner, who alone adopts.
    pub(crate) fn is_on_remote_list(&self, address: usize) -> bool {
        let chain = self.remote.peek();
        chain.is_some_and(|chain| self.blocks_of(chain).any(|block| block.addr() == address))
    }

    /// The blocks of `chain`, which is on the remote list or was taken off it, as far as it leads
    /// from block to block.
    fn blocks_of(&self, chain: Chain) -> impl Iterator<Item = *mut u8> {
        let first = Some(self.pointer(chain.first));
        // SAFETY: the publishers linked `blocks` blocks, and a block of the slab begins here.
        let next =
            |block: &*mut u8| self.has_block_at(block.addr()).then(|| unsafe { free_list::next_of(*block) });
        iter::successors(first, next).take(chain.blocks as usize)
    }

    /// Does the double-free check of the block at `offset`, which looked free when another thread
    /// freed it, and takes the block back.
    #[cold]
    fn check_deferred(&self, offset: u32) {
        let block = self.block_at(offset);
        // Without the mark the block was handed out in between: so it was free when it was freed.
        // SAFETY: the block's memory is the slab's, which is open.
        let looks_free = unsafe { free_list::looks_free(block.address() as *const u8) };
        let is_free = || self.is_listed(block.address()) || self.is_absent(block.address());
        if !looks_free || is_free() || self.used() == 0 {
            return fatal::caught("double free by another thread", block.address());
        }
        let _ = self.push(block);
    }

    /// Takes a block that looks free already from a thread other than the owner, and defers the
    /// double-free check to the owner: only the owner may read the free list. Where another block
    /// waits for its check, this one is returned as the error. Else the home, if the slab was
    /// announced.
    pub(crate) fn defer_check(&'static self, block: Block) -> Result<Option<&'static Inbox>, Block> {
        let offset = self.offset_of(block.address() as *const u8).wrapping_add(1);
        if self.deferred.compare_exchange(0, offset, Ordering::Release, Ordering::Relaxed).is_err() {
            return Err(block);
        }
        Ok(match self.remote.mark() {
            Published::First => self.announce(),
            Published::More => None,
        })
    }

    /// Publishes the chain of `blocks` from `first` to `last` to the slab's owner. Returns the home
    /// if the slab was announced, or if all its blocks have come back now.
    ///
    /// # Safety
    /// The caller owns the chain: used blocks of this slab, linked from first to last.
    pub(crate) unsafe fn publish(
        &'static self,
        first: *mut u8,
        last: *mut u8,
        blocks: u32,
    ) -> Option<&'static Inbox> {
        let chain = Chain { first: self.offset_of(first), blocks };
        // Read before the publication: afterwards the slab may be another heap's, or gone.
        let (home, carved) = (self.home(), self.carved.get());
        let (published, on_list) = self.remote.publish(chain, |before| {
            // SAFETY: `last` is a block of the caller's chain until the publication succeeds.
            let last = unsafe { Block::from_raw(NonNull::new_unchecked(last)) };
            last.link(before.map_or(ptr::null_mut(), |offset| self.pointer(offset)));
        });
        if published == Published::More {
            if on_list < carved {
                return None;
            }
            // SAFETY: heaps are never unmapped.
            let home = unsafe { home.as_ref() }?;
            home.note_whole();
            return Some(home);
        }
        // The slab has used blocks until these are adopted, which takes the announcement.
        self.remote_last.store(self.offset_of(last), Ordering::Relaxed);
        self.announce()
    }

    /// Announces the slab at its home. None where no heap has the slab: then nobody held the block.
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

/// The last block of the chain of `blocks` that begins at `first`.
fn last_of(first: *mut u8, blocks: u32) -> *mut u8 {
    let mut last = first;
    for _ in 1..blocks {
        // SAFETY: the publishers linked the chain, which is that long, and gave it up.
        last = unsafe { free_list::next_of(last) };
    }
    last
}
