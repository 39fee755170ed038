//! First-class heaps: memory of its own for a part of a program, for a process and its children, or
//! for the next run.
//!
//! | heap | its memory | who may use it |
//! | --- | --- | --- |
//! | [`Heap::private`] | this process's | one thread at a time: [`Send`], not [`Sync`], no lock |
//! | [`Heap::shared`] | shared, inherited over `fork` | every thread of the process and of its children |
//! | [`Heap::file`] | a file, at the same address in every run | the same |
//!
//! Each has a limit, [statistics](Heap::stats), [`purge`](Heap::purge), and releases everything at
//! once when it is dropped, however many blocks are in use. With the feature `allocator-api2` a
//! `&Heap`, a [`Handle`] and a `Heap` itself are allocators for `Vec`, `Box`, `hashbrown`'s maps and others.
//!
//! ```
//! use std::alloc::Layout;
//! use freestone::heaps::Heap;
//! # fn main() -> Result<(), freestone::heaps::Error> {
//! let heap = Heap::private()?;
//! let layout = Layout::new::<[u64; 4]>();
//! let block = heap.allocate(layout).expect("memory");
//! assert_eq!(heap.stats().live_blocks, 1);
//! // SAFETY: allocated above, and not used any more.
//! unsafe { heap.deallocate(block, layout) };
//! # Ok(())
//! # }
//! ```
//!
//! # What a dying process leaves behind
//!
//! Shared and file heaps keep out of line which blocks are in use, a bit each, and make everything else
//! from that. The lock knows when its holder has died: the next one finishes a half-done free, undoes a
//! half-done allocation, and goes on ([`HeapStats::recoveries`]). Blocks that the dead process
//! had for itself stay in use.
//!
//! A file heap is at any moment what it was at the last [`sync`](Heap::sync), and what happened since:
//! the former is what the next opening finds, unless the program has
//! [closed](Heap::close) it. So a block that was in use at the last sync and is freed is left as it is until the
//! next. Bytes that the program writes into such a block in place are its own affair: whoever wants to find the old or
//! the new, and nothing between, writes new blocks, makes them the root, and syncs.
//!
//! # What a file heap cannot do
//!
//! The file must be the heap's alone while it is open. It is locked with flock(2), which keeps other heaps
//! out, but neither `truncate` nor whoever writes. Somebody who cuts the file short makes the next touch of
//! what is gone a `SIGBUS` (mmap(2)); somebody who writes into it changes the heap's records and blocks under
//! its users, as one who writes to a process's memory does (`/proc/self/mem`).
//! Pointers in the file are good because it is always mapped at the address where it was made. Pointers to
//! functions and statics are not good in another run: nothing with a vtable belongs in the file,
//! nor does a `hashbrown` map that has never held anything, which points to a static.
//! A child of a fork may go on using the heap beside its parent; only one of them, the last, should close it.
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]

use core::alloc::Layout;
use core::fmt;
use core::ops::Deref;
use core::ptr::NonNull;
use std::path::Path;
use std::sync::Arc;

use crate::base::config::{CHUNK_BYTES, MAX_BLOCK_ALIGN, MAX_BLOCK_BYTES, UNIT_BYTES};
use crate::block::free_list::{self, Block};
use crate::block::size_class::{Route, inline_class, route};
use crate::map::{Mapping, Protection};
use crate::memory::chunk;
use crate::memory::slab::{Occupancy, Slab};
use crate::os::KeepErrno;

#[cfg(feature = "allocator-api2")]
mod allocator;
mod backing;
mod books;
mod engine;
mod error;
mod file;
mod geometry;
mod rebuild;
mod space;
mod stats;
mod superblock;
mod table;

pub use backing::{File, Private, Shared};
pub use error::Error;
pub use stats::HeapStats;

use backing::Backing;
use engine::{Engine, Fresh, reexposed};
use geometry::Geometry;

/// The limit of a heap that is made without one: 64 GiB, of addresses only.
const DEFAULT_LIMIT: usize = 64 << 30;

/// Sizes and alignments strictly below this are in a slab whatever else they are.
const SLAB_LIMIT: usize = UNIT_BYTES;
static_assertions::const_assert!(SLAB_LIMIT <= MAX_BLOCK_BYTES && SLAB_LIMIT <= MAX_BLOCK_ALIGN);

/// The kinds of heaps: [`Private`], [`Shared`] and [`File`].
pub trait Kind: Backing {}
impl Kind for Private {}
impl Kind for Shared {}
impl Kind for File {}

/// A heap of its own. See the [module](self).
pub struct Heap<K: Kind> {
    engine: &'static Engine,
    kind: K,
    mapping: Mapping,
    found: Found,
}

// SAFETY: a heap belongs to no thread; all that it refers to is its own.
unsafe impl<K: Kind> Send for Heap<K> {}
// SAFETY: every use of a shared heap takes its lock, but for looks at `start` and `geometry`, which are
// written only before the heap is anybody's.
unsafe impl Sync for Heap<Shared> {}
// SAFETY: as of a shared heap.
unsafe impl Sync for Heap<File> {}

/// What an opening of a file heap found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// No heap: it was made.
    New,
    /// A heap that was [closed](Heap::close).
    Clean,
    /// A heap whose last user was killed, or dropped it: it is as it was last synced, but for
    /// what the program wrote into blocks in place since.
    Dirty,
}

/// What a heap is to be like.
#[derive(Clone, Debug, Default)]
pub struct Options {
    limit: Option<usize>,
}

impl Options {
    /// A limit of 64 GiB; for private and shared heaps less, if so many addresses can't be had.
    #[must_use]
    pub const fn new() -> Self {
        Self { limit: None }
    }

    /// At most `bytes` for blocks and what belongs to them, in multiples of 64 KiB, at least 1 MiB. It
    /// takes addresses, not memory. Where it is reached, allocation fails.
    #[must_use]
    pub const fn limit(self, bytes: usize) -> Self {
        Self { limit: Some(bytes) }
    }

    /// A heap in this process's memory for one thread at a time.
    ///
    /// In a child of a fork it is the child's own copy; good there if the forking thread was the one that used
    /// it.
    ///
    /// # Errors
    /// [`Error::Map`] with `ENOMEM` if there are no addresses for the limit.
    pub fn private(&self) -> Result<Heap<Private>, Error> {
        self.reserve(|bytes| {
            Mapping::anonymous(bytes).protection(Protection::NONE).no_reserve().align(CHUNK_BYTES).map()
        })
        .and_then(|(mapping, geometry)| {
            let kind = Private::new(mapping.address().get());
            if !kind.prepare(mapping.as_mut_ptr().expose_provenance(), geometry.front()) {
                return Err(std::io::Error::from_raw_os_error(libc::ENOMEM).into());
            }
            Ok(Heap::over(mapping, geometry, kind))
        })
    }

    /// A heap in memory that is shared with children of this process, who inherit it. Dropping it
    /// in one process takes it from that process only.
    ///
    /// # Errors
    /// As [`private`](Self::private).
    pub fn shared(&self) -> Result<Heap<Shared>, Error> {
        let (mapping, geometry) =
            self.reserve(|bytes| Mapping::anonymous(bytes).shared().no_reserve().align(CHUNK_BYTES).map())?;
        let heap = Heap::over(mapping, geometry, Shared::new());
        // SAFETY: nobody uses it yet.
        unsafe { heap.engine.mutex.init() }.map_err(|_| Error::Locked)?;
        Ok(heap)
    }

    /// The heap in the file at `path`. If there is no file, or an empty one, it is made, with the limit
    /// given here; one that is there keeps its limit.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::Foreign`], [`Error::Version`], [`Error::Truncated`], [`Error::Damaged`],
    /// [`Error::AddressTaken`], or what the kernel says. The file is then as before.
    pub fn file(&self, path: impl AsRef<Path>) -> Result<Heap<File>, Error> {
        file::open(path.as_ref(), self)
    }

    /// Addresses for the limit; for less, where none was asked for.
    fn reserve(
        &self,
        map: impl Fn(usize) -> Result<Mapping, crate::map::Error>,
    ) -> Result<(Mapping, Geometry), Error> {
        let mut geometry = Geometry::of(self.limit.unwrap_or(DEFAULT_LIMIT));
        loop {
            match map(geometry.whole()) {
                Ok(mapping) => return Ok((mapping, geometry)),
                Err(error) if self.limit.is_some() || geometry.limit == geometry::LEAST_LIMIT => {
                    return Err(error.into());
                }
                Err(_) => geometry = Geometry::of(geometry.limit / 2),
            }
        }
    }
}

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
    fn over(mapping: Mapping, geometry: Geometry, kind: K) -> Self {
        // SAFETY: no mapping is at null.
        let start = unsafe { NonNull::new_unchecked(mapping.as_mut_ptr()) };
        // SAFETY: the mapping is as long as the geometry says, new, and its front writable.
        let engine = unsafe { Engine::place(start, geometry) };
        Self { engine, kind, mapping, found: Found::New }
    }

    /// A block for `layout`, which stays until it is freed or the heap is dropped. None at the limit, or
    /// where the kernel has no more: for a file that is a full disk, too.
    #[inline]
    #[must_use]
    pub fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        if !K::BOOKED
            && let Some(class) = inline_class(layout)
            && let Some(block) = self.engine.pop(class)
        {
            return Some(block.hand_out());
        }
        Some(self.allocate_slow(layout)?.start)
    }

    /// As [`allocate`](Self::allocate), of zeroes.
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
        self.kind.alone(self.engine, || self.engine.allocate(&self.kind, layout))?
    }

    /// Frees a block.
    ///
    /// # Safety
    /// It was allocated from this heap, with this `layout`, and is not used any more.
    #[inline]
    pub unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        if !K::BOOKED && (layout.size() | layout.align()) < SLAB_LIMIT {
            // SAFETY: the layout says that the block lies in a slab, so its chunk is mapped.
            let slab: &'static Slab = unsafe { &*chunk::record_at(block.addr().get()) };
            // SAFETY: blocks have at least two words.
            if self.engine.serves(slab) && !unsafe { free_list::looks_free(block.as_ptr()) } {
                // SAFETY: the caller gives up the block.
                let block = unsafe { Block::from_raw(reexposed(block)) };
                if slab.push(block) == Occupancy::Empty {
                    self.engine.settle::<false>(slab, Occupancy::Empty);
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
        // Without the lock the block stays in use, which is the least harm.
        // SAFETY: forwarded to the caller.
        let _ = self.kind.alone(self.engine, || unsafe { self.engine.free::<K>(block) });
    }

    /// Makes a block fit `new`, moving it where need be; what fits in both stays. None leaves the
    /// block as it was.
    ///
    /// # Safety
    /// It was allocated from this heap, with the layout `old`, and if it moves is not used any more.
    #[must_use]
    pub unsafe fn reallocate(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<u8>> {
        match (route(old), route(new)) {
            (Route::Small(before), Route::Small(after)) if before == after => return Some(block),
            (Route::Large, Route::Large) if block.addr().get().is_multiple_of(new.align()) => {
                let address = block.addr().get();
                let done = self
                    .kind
                    .alone(self.engine, || self.engine.resize_span(&self.kind, address, new.size().max(1)));
                if done == Some(true) {
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

    /// Gives pages that hold nothing back to the kernel, and takes them out of the file. Bytes.
    pub fn purge(&self) -> usize {
        self.kind.alone(self.engine, || self.engine.purge(&self.kind)).unwrap_or(0)
    }

    /// Where the memory is. Looks at every slab.
    #[must_use]
    pub fn stats(&self) -> HeapStats {
        self.kind.alone(self.engine, || self.engine.survey::<K>()).unwrap_or_default()
    }

    /// Whether `address` lies in the range that the heap's blocks are in.
    #[must_use]
    pub fn contains(&self, address: usize) -> bool {
        self.engine.contains(address)
    }

    /// Recomputes what must hold of the heap's own records. For tests, and for the suspicious.
    ///
    /// # Errors
    /// [`Error::Damaged`] with what does not hold.
    pub fn verify(&self) -> Result<(), Error> {
        let found = self.kind.alone(self.engine, || self.engine.verify::<K>());
        found.ok_or(Error::Locked)?.map_err(Error::Damaged)
    }
}

impl<K: Kind> fmt::Debug for Heap<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heap").field("mapping", &self.mapping).finish_non_exhaustive()
    }
}

/// An owner of a heap, beside others: the heap goes with the last.
pub struct Handle<K: Kind>(Arc<Heap<K>>);

impl<K: Kind> Clone for Handle<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Kind> From<Heap<K>> for Handle<K> {
    fn from(heap: Heap<K>) -> Self {
        Self(Arc::new(heap))
    }
}

impl<K: Kind> Deref for Handle<K> {
    type Target = Heap<K>;

    fn deref(&self) -> &Heap<K> {
        &self.0
    }
}

impl<K: Kind> fmt::Debug for Handle<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
