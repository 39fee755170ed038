//! First-class heaps: memory of its own for a part of a program, for a process and its children, or
//! for the next run.
//!
//! | heap | its memory | who may use it |
//! | --- | --- | --- |
//! | [`Heap::private`] | this process's | one thread at a time: [`Send`], not [`Sync`], no lock |
//! | [`Heap::shared`] | shared, inherited over `fork` | every thread of the process and of its children |
//! | [`Heap::file`] | a file, at the same address in every run | the same |
//!
//! Each has a limit, [statistics](Heap::stats) and [`purge`](Heap::purge). Dropping it releases
//! everything at once, however many blocks are in use.
//!
//! # A private heap
//!
//! ```
//! use std::alloc::Layout;
//! use freestone::heaps::Heap;
//! # fn main() -> Result<(), freestone::heaps::Error> {
//! let heap = Heap::private()?;
//! let layout = Layout::new::<[u64; 4]>();
//! let block = heap.allocate(layout).expect("memory");
//! assert_eq!(heap.stats()?.live_blocks, 1);
//! // SAFETY: allocated above, and not used any more.
//! unsafe { heap.deallocate(block, layout) };
//! # Ok(())
//! # }
//! ```
//!
//! # Collections
//!
//! With the feature `allocator-api2` a `&Heap`, a [`Handle`] and a `Heap` itself are allocators for
//! `Vec`, `Box`, `hashbrown`'s maps and others.
//!
//! ```
//! # #[cfg(feature = "allocator-api2")]
//! # fn main() -> Result<(), freestone::heaps::Error> {
//! use allocator_api2::{boxed::Box, vec::Vec};
//! use freestone::heaps::{Handle, Heap};
//!
//! let heap = Handle::from(Heap::private()?);
//! let mut numbers = Vec::new_in(heap.clone());
//! numbers.extend(1..=1_000);
//! let boxed = Box::new_in(7, &*heap);
//! assert_eq!((numbers.iter().sum::<i32>(), *boxed), (500_500, 7));
//! assert_eq!(heap.stats()?.live_blocks, 2);
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "allocator-api2"))]
//! # fn main() {}
//! ```
//!
//! # A heap that children share
//!
//! ```
//! use std::alloc::Layout;
//! use std::sync::atomic::{AtomicU64, Ordering};
//! use freestone::heaps::Heap;
//! # fn main() -> Result<(), freestone::heaps::Error> {
//! let heap = Heap::shared()?;
//! let block = heap.allocate_zeroed(Layout::new::<AtomicU64>()).expect("memory");
//! // SAFETY: the block is as long, aligned, zeroed, never freed, and used as an atomic alone.
//! let answer: &AtomicU64 = unsafe { block.cast().as_ref() };
//! // SAFETY: the child does nothing but use the heap, and ends.
//! match unsafe { libc::fork() } {
//!     0 => {
//!         let allocated = heap.allocate(Layout::new::<u64>()).is_some();
//!         answer.store(if allocated { 42 } else { 1 }, Ordering::Release);
//!         // SAFETY: the child ends here.
//!         unsafe { libc::_exit(0) }
//!     }
//!     // SAFETY: waits for the child made above.
//!     child => assert_eq!(unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) }, child),
//! }
//! assert_eq!(answer.load(Ordering::Acquire), 42);
//! assert_eq!(heap.stats()?.live_blocks, 2); // the child's block stays in use
//! # Ok(())
//! # }
//! ```
//!
//! # A heap in a file
//!
//! ```
//! use std::alloc::Layout;
//! use std::ptr::NonNull;
//! use freestone::heaps::{Found, Heap};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("counter.heap");
//! let heap = Heap::file(&path)?;
//! let count: NonNull<u64> = heap.allocate(Layout::new::<u64>()).expect("memory").cast();
//! // SAFETY: the block is as long, aligned, and this program's alone.
//! unsafe { count.write(41) };
//! heap.set_root(Some(count.cast()))?;
//! heap.sync()?; // from here on a crash loses nothing of this
//! heap.close()?; // syncs, too, and marks the file clean
//!
//! let heap = Heap::file(&path)?; // as the next run would
//! assert_eq!(heap.found(), Found::Clean);
//! let count: NonNull<u64> = heap.root()?.expect("it was set").cast();
//! // SAFETY: the root is a `u64` of this program's.
//! assert_eq!(unsafe { count.read() }, 41);
//! # Ok(())
//! # }
//! ```
//!
//! # What a dying process leaves behind
//!
//! Shared and file heaps keep a bit for each block that says whether it is used, and rebuild
//! everything else from these. The lock notices the death of its holder
//! (pthread_mutexattr_setrobust(3)). The next holder finishes a half-done free, undoes a half-done
//! allocation, and goes on ([`HeapStats::recoveries`]). Blocks that the dead process had for itself
//! stay in use.
//!
//! The next opening of a file finds the state of the last [`sync`](Heap::sync). What was allocated,
//! freed or made the root since is lost, unless the program has [closed](Heap::close) the heap. So
//! a block that was in use at the last sync and is freed is left as it is until the next. Bytes
//! that the program writes into such a block in place may be found or not. Whoever wants the old or
//! the new, and nothing between, writes new blocks, makes them the root, and syncs.
//!
//! A sync may fail so that the disk may have either state, the last one or the new one. The heap is
//! then *in doubt*: nothing is allocated, and [`purge`](Heap::purge) gives nothing back, until a
//! later sync succeeds.
//!
//! # What a file heap cannot do
//!
//! - The file must be the heap's alone while it is open. flock(2) keeps other heaps out, but
//!   neither `truncate` nor whoever writes. Where somebody cuts the file short, the next access of
//!   what is gone raises `SIGBUS` (mmap(2)). Somebody who writes into it changes records and blocks
//!   under their users.
//! - Pointers in the file are good because it is always mapped at the address where it was made.
//!   Pointers to functions and statics are not: nothing with a vtable belongs in the file, nor does
//!   an empty `hashbrown` map, which points to a static.
//! - A child of a fork may go on using the heap beside its parent. Only one of them, the last,
//!   should close it.
//!
//! # The room
//!
//! The state of a heap lies in its own range of addresses, not here: this room has no state.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `heap.rs`, `handle.rs`, `options.rs` | the public types |
//! | `engine.rs` | the state of one heap: lists of slabs |
//! | `allocate.rs`, `free.rs` | the paths of one block |
//! | `space.rs`, `table.rs`, `geometry.rs` | chunks and spans; the table of the areas of 4 MiB; the layout of the range |
//! | `bitmap.rs`, `rebuild.rs` | a bit for each block; records and lists rebuilt from these after a death |
//! | `backing.rs` | the three kinds: memory got and given back, the lock |
//! | `file.rs`, `address.rs`, `sync.rs`, `superblock.rs` | files: opened, placed, synced; their first words |
//! | `stats.rs`, `error.rs`, `allocator.rs` | statistics, errors, `allocator_api2` |
//!
//! `geometry.rs`, `superblock.rs`, `table.rs` and `bitmap.rs` are the definition of the file
//! format.
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]

mod address;
mod allocate;
#[cfg(feature = "allocator-api2")]
mod allocator;
mod backing;
mod bitmap;
mod engine;
mod error;
mod file;
mod free;
mod geometry;
mod handle;
mod heap;
mod options;
mod rebuild;
mod space;
mod stats;
mod superblock;
mod sync;
mod table;

pub use backing::{File, Kind, Private, Shared};
pub use error::Error;
pub use file::Found;
pub use handle::Handle;
pub use heap::Heap;
pub use options::Options;
pub use stats::HeapStats;
