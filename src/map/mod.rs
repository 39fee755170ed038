//! The mapping floor: mmap(2) and its companions on Linux, as owned values.
//!
//! A [`Builder`] says what is to be mapped. A [`Mapping`] is mapped memory, and unmaps itself.
//! Every failure is an [`Error`] that names the call and the error number, with the meaning for
//! this call and a remedy. Nothing here panics. No block of the global allocator comes from here.
//!
//! ```
//! use freestone::map::{Mapping, Msync, Placement, Protection};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Private memory is a slice.
//! let mut memory = Mapping::anonymous(10_000).map()?;
//! memory.as_mut_slice()?[9_999] = 7;
//! memory.resize(1 << 30, Placement::MayMove)?; // moves page tables, not bytes
//! assert_eq!(memory.as_slice()?[9_999], 7);
//!
//! // A file is read and written by copying, or by promising that nobody else does.
//! let file = tempfile::tempfile()?;
//! let mut shared = Mapping::file(&file)
//!     .len(5)
//!     .extend_file()
//!     .shared()
//!     .protection(Protection::READ_WRITE)
//!     .map()?;
//! shared.write_at(0, b"hello")?;
//! shared.sync(.., Msync::Sync)?;
//! // SAFETY: no other process knows the file, and nothing below changes it.
//! assert_eq!(unsafe { shared.assume_stable()? }, b"hello");
//! # Ok(())
//! # }
//! ```
//!
//! # Pages
//!
//! The kernel maps whole pages, of a size read at run time. Offsets and lengths here are in bytes
//! and of any size; [`Mapping::waste`] says how many more are mapped. A range from which bytes are
//! taken away must be whole pages: other ranges are refused.
//!
//! # Beyond the end of the file
//!
//! A mapping may be longer than its file, and a file may become shorter than its mapping. Bytes
//! behind the file's end in its last page read as zero, and what is written to them is lost;
//! touching any page after that raises `SIGBUS` (mmap(2)), which by default ends the process, and
//! so does writing to a hole in a file when its disk is full. [`Mapping::read_at`] and
//! [`Mapping::write_at`] can't cause it: the kernel copies, and answers `EFAULT`.
//!
//! ```
//! use freestone::map::Mapping;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let file = tempfile::tempfile()?;
//! let beyond = Mapping::file(&file).len(100).map()?; // an empty file: no page behind it
//! let error = beyond.read_at(0, &mut [0; 1]).expect_err("nothing to read");
//! assert_eq!(error.errno_name(), Some("EFAULT"));
//! # Ok(())
//! # }
//! ```
//!
//! # What is safe
//!
//! Private anonymous memory is this process's own: slices of it are safe. Shared anonymous memory
//! is safe as atomics. A file's bytes are neither: whoever may write the file may change or remove
//! them under a reference, so those are `unsafe` ([`Mapping::assume_stable`]), and copying is not.
//! Making, moving, splitting, protecting and unmapping is safe: it takes the mapping by `&mut` or
//! by value, so no reference into it is left.
//!
//! # The flags of mmap(2)
//!
//! | flag | here |
//! | --- | --- |
//! | `MAP_PRIVATE`, `MAP_SHARED` | [`Builder::private`], [`Builder::shared`] |
//! | `MAP_ANONYMOUS` | [`Mapping::anonymous`] |
//! | `MAP_FIXED_NOREPLACE` | [`Builder::exactly_at`] |
//! | `MAP_HUGETLB`, `MAP_HUGE_…` | [`HugePages::Reserved`] |
//! | `MAP_LOCKED`, `MAP_NORESERVE`, `MAP_POPULATE`, `MAP_GROWSDOWN` | [`Builder::locked`], [`no_reserve`](Builder::no_reserve), [`populate`](Builder::populate), [`grows_down`](Builder::grows_down) |
//! | `MAP_FIXED` | not offered: it silently replaces whatever is mapped there |
//! | `MAP_UNINITIALIZED` | not offered: it spares the zeroing of pages only on kernels built so for machines without memory management, and means nothing elsewhere |
//! | `MAP_NONBLOCK` | not offered: since Linux 2.6.23 it only makes `MAP_POPULATE` do nothing |
//! | `MAP_STACK` | not offered: reserved for later, does nothing on Linux |
//! | `MAP_DENYWRITE`, `MAP_EXECUTABLE`, `MAP_FILE` | not offered: ignored |
//! | `MAP_32BIT` | not offered: x86-64 only, for old thread stacks; hint at a low address |
//! | `MAP_SYNC` | not offered: for persistent memory that is mapped directly (DAX) |
//!
//! # The room
//!
//! It stands on `os` and `base` alone, and has no state.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `builder.rs`, `mapping.rs` | the request, and the mapping |
//! | `extent.rs` | bytes to pages and back: arithmetic, no unsafe |
//! | `span.rs`, `placement.rs` | an owned run of pages; its address |
//! | `access.rs`, `protection.rs` | access to the bytes, and what allows it |
//! | `resize.rs`, `sync.rs`, `advice.rs`, `lock.rs`, `residency.rs`, `huge.rs`, `file.rs` | one call, or a few, each |
//! | `error.rs`, `errno.rs`, `explain/` | every error by call, with its meaning and a remedy |
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]

mod access;
mod advice;
mod builder;
mod errno;
mod error;
mod explain;
mod extent;
mod file;
mod huge;
mod lock;
mod mapping;
mod placement;
mod protection;
mod residency;
mod resize;
mod span;
mod sync;

pub use advice::{Advice, Discard};
pub use builder::Builder;
pub use errno::Errno;
pub use error::{Backing, Call, Error, FileKind, Refusal};
pub use extent::Waste;
pub use huge::{HugePages, huge_page_sizes};
pub use lock::LockWhen;
pub use mapping::{Mapping, StillMapped};
pub use protection::{Protection, Sharing};
pub use residency::Residency;
pub use resize::Placement;
pub use sync::Msync;
