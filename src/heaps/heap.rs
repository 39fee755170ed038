//! [`Heap`]: the blocks of one heap, whatever its kind.

use core::alloc::Layout;
use core::fmt;
use core::ptr::NonNull;

use super::allocate::Fresh;
use super::backing::{File, Kind, Private, Shared};
use super::engine::Engine;
use super::error::Error;
use super::file::Found;
use super::free::reexposed;
use super::geometry::Geometry;
use super::options::Options;
use super::stats::HeapStats;
use crate::base::config::{MAX_BLOCK_ALIGN, MAX_BLOCK_BYTES, UNIT_BYTES};
use crate::block::free_list::{self, Block};
use crate::block::size_class::{Route, inline_class, route};
use crate::map::Mapping;
use crate::memory::chunk;
use crate::memory::slab::{Occupancy, Slab};
use crate::os::KeepErrno;

/// Sizes and alignments strictly below this are in a slab, whatever the other one of the two is.
const SLAB_LIMIT: usize = UNIT_BYTES;
static_assertions::const_assert!(SLAB_LIMIT <= MAX_BLOCK_BYTES && SLAB_LIMIT <= MAX_BLOCK_ALIGN);

/// Memory of its own, of kind `K`, released at once when it is dropped. See the
/// [module](crate::heaps).
///
/// No method panics. Those that change or read a shared or a file heap wait for its lock. The lock
/// can't be had by a thread that holds it already, as in a signal handler that interrupts the heap
/// (pthread_mutex_lock(3)): [`Error::Locked`], or no block.
#[must_use = "a heap that is dropped at once releases its memory at once"]
pub struct Heap<K: Kind> {
    pub(super) engine: &'static Engine,
    pub(super) kind: K,
    pub(super) mapping: Mapping,
    pub(super) found: Found,
}

// SAFETY: a heap belongs to no thread, and all that it refers to is its own.
unsafe impl<K: Kind> Send for Heap<K> {}
// SAFETY: every use of a shared heap holds its lock, but for reads of `start` and `geometry`, which
// are written only before the heap is anybody's.
unsafe impl Sync for Heap<Shared> {}
// SAFETY: as of a shared heap.
unsafe impl Sync for Heap<File> {}

impl Heap<Private> {
    /// As [`Options::private`], without options.
    ///
    /// # Errors
    /// As [`Options::private`].
    pub fn private() -> Result<Self, Error> {
        Options::new().private()
    }
}

impl Heap<Shared> {
    /// As [`Options::shared`], without options.
    ///
    /// # Errors
    /// As [`Options::shared`].
    pub fn shared() -> Result<Self, Error> {
        Options::new().shared()
    }
}

impl<K: Kind> Heap<K> {
    /// A heap in fresh memory.
    pub(super) fn over(mapping: Mapping, geometry: Geometry, kind: K) -> Self {
        // SAFETY: the mapping is as long as the geometry says, new, and its front is writable.
        let engine = unsafe { Engine::init(mapping.start(), geometry) };
        Self { engine, kind, mapping, found: Found::New }
    }

    /// A block for `layout`, which stays until it is freed or the heap is dropped.
    ///
    /// None at the limit, or where the kernel has no more memory; in a file also where the disk is
    /// full, or a [sync](Heap::sync) is in doubt. None, too, where the lock can't be had.
    #[inline]
    #[must_use]
    pub fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        if !K::HAS_BITMAPS
            && let Some(class) = inline_class(layout)
            && let Some(block) = self.engine.pop(class)
        {
            return Some(block.hand_out());
        }
        Some(self.allocate_slow(layout)?.start)
    }

    /// As [`allocate`](Self::allocate), with bytes that are zero.
    #[inline]
    #[must_use]
    pub fn allocate_zeroed(&self, layout: Layout) -> Option<NonNull<u8>> {
        let Fresh { start, zero } = self.allocate_slow(layout)?;
        if !zero {
            // SAFETY: the block has at least that many bytes.
            unsafe { start.write_bytes(0, layout.size()) };
        }
        Some(start)
    }

    #[inline(never)]
    fn allocate_slow(&self, layout: Layout) -> Option<Fresh> {
        self.kind.exclusive(self.engine, || self.engine.allocate(&self.kind, layout))?
    }

    /// Frees a block.
    ///
    /// Where the lock can't be had, the block stays in use. An address that is no block of the
    /// heap, or a block that is free already, is reported as the global allocator reports misuse.
    ///
    /// # Safety
    /// `block` was allocated from this heap with this `layout`, and is not used any more.
    #[inline]
    pub unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        if !K::HAS_BITMAPS && (layout.size() | layout.align()) < SLAB_LIMIT {
            // SAFETY: the layout says that the block lies in a slab, so its chunk is mapped.
            let slab: &'static Slab = unsafe { &*chunk::record_at(block.addr().get()) };
            // SAFETY: blocks have at least two words.
            if self.engine.frees_fast(slab) && !unsafe { free_list::looks_free(block.as_ptr()) } {
                // SAFETY: the caller gives up the block.
                let block = unsafe { Block::from_raw(reexposed(block)) };
                if slab.push_told(block) {
                    self.engine.relist::<false>(slab, Occupancy::Empty);
                }
                return;
            }
        }
        // SAFETY: forwarded to the caller.
        unsafe { self.deallocate_slow(block) }
    }

    #[inline(never)]
    unsafe fn deallocate_slow(&self, block: NonNull<u8>) {
        let _keep = KeepErrno::new();
        // A block that leaks does less harm than one that is freed without the lock.
        // SAFETY: forwarded to the caller.
        let _ = self.kind.exclusive(self.engine, || unsafe { self.engine.free::<K>(block) });
    }

    /// A block for `new` with the bytes of `block`, as many as fit in both. It is `block` itself
    /// where that can be.
    ///
    /// None leaves `block` as it was.
    ///
    /// # Safety
    /// `block` was allocated from this heap with the layout `old`. If another block is returned,
    /// `block` is not used any more.
    #[must_use]
    pub unsafe fn reallocate(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<u8>> {
        match (route(old), route(new)) {
            (Route::Small(before), Route::Small(after)) if before == after => return Some(block),
            (Route::Large, Route::Large) if block.addr().get().is_multiple_of(new.align()) => {
                let address = block.addr().get();
                let resized = self.kind.exclusive(self.engine, || {
                    self.engine.resize_span(&self.kind, address, new.size().max(1))
                });
                if resized == Some(true) {
                    return Some(block);
                }
            }
            _ => {}
        }
        let fresh = self.allocate(new)?;
        // SAFETY: both blocks are live, distinct, and at least this long.
        unsafe { fresh.copy_from_nonoverlapping(block, old.size().min(new.size())) };
        // SAFETY: forwarded to the caller.
        unsafe { self.deallocate(block, old) };
        Some(fresh)
    }

    /// Gives pages that hold nothing back to the kernel, and makes holes of them in the file.
    /// Answers how many bytes.
    ///
    /// # Errors
    /// [`Error::Locked`]: nothing was given back.
    pub fn purge(&self) -> Result<usize, Error> {
        self.exclusive(|| self.engine.purge(&self.kind))
    }

    /// What the heap holds, counted at this moment: each slab is read.
    ///
    /// # Errors
    /// [`Error::Locked`].
    pub fn stats(&self) -> Result<HeapStats, Error> {
        self.exclusive(|| self.engine.survey::<K>())
    }

    /// Whether `address` lies in the range that the heap's blocks are in.
    #[must_use]
    pub fn contains(&self, address: usize) -> bool {
        self.engine.contains(address)
    }

    /// Checks the heap's own records against each other. For tests.
    ///
    /// # Errors
    /// [`Error::Damaged`] with the invariant that does not hold; [`Error::Locked`].
    pub fn verify(&self) -> Result<(), Error> {
        self.exclusive(|| self.engine.verify::<K>())?.map_err(Error::Damaged)
    }

    /// Runs `job` while no other thread or process is in the heap.
    pub(super) fn exclusive<T>(&self, job: impl FnOnce() -> T) -> Result<T, Error> {
        self.kind.exclusive(self.engine, job).ok_or(Error::Locked)
    }
}

impl<K: Kind> fmt::Debug for Heap<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heap").field("mapping", &self.mapping).finish_non_exhaustive()
    }
}
