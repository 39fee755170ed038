//! Heaps in files: opened, made, checked and closed.
//!
//! `address.rs` chooses the address of a new one, `superblock.rs` defines its first words, and
//! `sync.rs` writes it down.

use core::ptr::{self, NonNull};
use std::fs::{File as OsFile, OpenOptions};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::address::{self, map_anew, map_at};
use super::backing::File;
use super::engine::Engine;
use super::error::Error;
use super::geometry::{GREATEST_LIMIT, Geometry, LEAST_LIMIT, MARK, SUPERBLOCKS};
use super::heap::Heap;
use super::options::Options;
use super::superblock::{self, Beginning, Superblock};
use super::sync::{table_of, table_sum};
use super::table::Use;
use crate::base::atomic::{AtomicU64, Ordering};
use crate::base::config::{CHUNK_BYTES, UNIT_BYTES};
use crate::map::Msync;
use crate::os;

/// The [mark](MARK) after [`Heap::close`].
const CLEAN: u64 = u64::from_ne_bytes(*b"CLEAN   ");
/// The [mark](MARK) while the heap is open, and after any end of that but a close.
const IN_USE: u64 = u64::from_ne_bytes(*b"IN USE  ");

/// An answer of [`Heap::found`]: what an opening of a file heap found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Found {
    /// No heap: it was made.
    New,
    /// A heap that was [closed](Heap::close).
    Clean,
    /// A heap whose last user was killed, or dropped it. It is as it was at the last sync, but for
    /// what the program wrote into blocks in place since.
    Dirty,
}

/// Opens the heap in the file at `path`, or makes one of at most `limit` bytes.
pub(super) fn open(path: &Path, limit: usize) -> Result<Heap<File>, Error> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    match os::file::lock_whole(file.as_fd()) {
        Ok(()) => {}
        Err(errno) if errno.0 == libc::EWOULDBLOCK => return Err(Error::InUse),
        Err(errno) => return Err(std::io::Error::from_raw_os_error(errno.0).into()),
    }
    if file.metadata()?.len() == 0 {
        return make(file, limit);
    }
    match superblock::read(&file)? {
        Beginning::Heap(superblock) => open_heap(file, &superblock),
        Beginning::Unfinished => make(file, limit),
        Beginning::Foreign => Err(Error::Foreign),
        Beginning::Version(found) => Err(Error::Version { found, known: superblock::version() }),
        Beginning::Damaged => Err(Error::Damaged("no superblock is whole")),
    }
}

/// Makes an empty file a heap. A death in here leaves an unfinished file, which the next opening
/// makes anew.
fn make(file: OsFile, limit: usize) -> Result<Heap<File>, Error> {
    let geometry = Geometry::of(limit);
    // The file is cut to this word, so that nothing of an earlier attempt is taken for this one's.
    if file.write_at(&superblock::UNFINISHED.to_ne_bytes(), 0)? != 8 {
        return Err(std::io::Error::from_raw_os_error(libc::ENOSPC).into());
    }
    file.set_len(8)?;
    let front = geometry.front() as u64;
    os::file::make_room(file.as_fd(), 0, front)
        .map_err(|errno| std::io::Error::from_raw_os_error(errno.0))?;
    let mapping = map_anew(&file, geometry)?;
    let start = mapping.start();
    // SAFETY: the front has room in the file, which nobody else has open as a heap.
    let engine = unsafe { Engine::init(start, geometry) };
    // SAFETY: nobody uses it yet.
    unsafe { engine.mutex.init() }.map_err(|_| Error::Locked)?;
    engine.synced_table.set(1);
    let heap = Heap { engine, kind: File { file, start: start.addr().get() }, mapping, found: Found::New };
    heap.mark(IN_USE)?;
    heap.checkpoint()?;
    // The other superblock counts from here on. Where this one still said `UNFINISHED`, a heap
    // whose other superblock is damaged would be made anew.
    heap.word(SUPERBLOCKS[0]).store(0, Ordering::Release);
    heap.mapping.sync(..MARK, Msync::Sync)?;
    Ok(heap)
}

/// Opens a heap whose newest whole superblock is `superblock`.
fn open_heap(file: OsFile, superblock: &Superblock) -> Result<Heap<File>, Error> {
    let &Superblock { address, limit, top, file_bytes, .. } = superblock;
    if !(LEAST_LIMIT..=GREATEST_LIMIT).contains(&limit) || !limit.is_multiple_of(UNIT_BYTES) {
        return Err(Error::Damaged("the limit"));
    }
    let geometry = Geometry::of(limit);
    let length = file.metadata()?.len();
    if length < file_bytes || length < geometry.front() as u64 {
        return Err(Error::Truncated { length, needed: file_bytes.max(geometry.front() as u64) });
    }
    if top > geometry.areas() {
        return Err(Error::Damaged("the size of the table"));
    }
    let mapping = map_at(&file, address, geometry).map_err(|error| match address::is_taken(&error) {
        true => Error::AddressTaken { address, bytes: geometry.whole() },
        false => Error::Map(error),
    })?;
    let start = mapping.start();
    // SAFETY: the front lies inside the file, which nobody else has open as a heap.
    let engine = unsafe { Engine::init(start, geometry) };
    // SAFETY: nobody uses it yet.
    unsafe { engine.mutex.init() }.map_err(|_| Error::Locked)?;
    engine.generation.set(superblock.generation);
    engine.synced_table.set(table_of(superblock.generation));
    engine.root.set(superblock.root);
    engine.top.store(top, Ordering::Release);
    check(engine, superblock)?;
    let mut heap =
        Heap { engine, kind: File { file, start: start.addr().get() }, mapping, found: Found::Dirty };
    if heap.word(MARK).load(Ordering::Relaxed) == CLEAN {
        heap.found = Found::Clean;
    }
    heap.mark(IN_USE)?;
    heap.engine.restore_synced(length);
    heap.engine.rebuild(&heap.kind);
    Ok(heap)
}

/// Checks everything that the last sync wrote but the blocks.
fn check(engine: &'static Engine, superblock: &Superblock) -> Result<(), Error> {
    let geometry = engine.geometry.get();
    let Some(synced) = engine.synced() else { return Err(Error::Damaged("the count of syncs")) };
    if table_sum(synced, superblock.top) != superblock.table {
        return Err(Error::Damaged("the table of chunks"));
    }
    for (index, what) in synced.walk(superblock.top) {
        let bytes = match what {
            Use::Free { .. } => continue,
            Use::Span { units } => units.saturating_mul(UNIT_BYTES),
            Use::Slabs { .. } => geometry.bytes_from(index).min(CHUNK_BYTES),
        };
        let end = geometry.front().saturating_add(index.saturating_mul(CHUNK_BYTES)).saturating_add(bytes);
        if bytes > geometry.bytes_from(index) || end as u64 > superblock.file_bytes {
            return Err(Error::Damaged("the table of chunks names more than the file has"));
        }
        if let Use::Slabs { copy, checksum } = what {
            let bitmap = engine.bitmaps(index).synced(copy);
            if bitmap.checksum() != checksum || bitmap.is_malformed() {
                return Err(Error::Damaged("the bitmap of a chunk"));
            }
        }
    }
    Ok(())
}

impl Engine {
    /// Makes the last sync's table and bitmaps those in force, in a file of `length` bytes.
    fn restore_synced(&'static self, length: u64) {
        let Some(synced) = self.synced() else { return };
        let (in_force, top) = (self.in_force(), self.top());
        for index in 0..self.geometry.get().areas() {
            let end = self.geometry.get().front().wrapping_add(index.wrapping_mul(CHUNK_BYTES));
            // Areas beyond the top may hold bytes that the last run wrote after its last sync.
            let beyond = Use::Free { zero: end as u64 >= length };
            let what = if index < top { synced.get(index) } else { beyond };
            in_force.set(index, if index < top && what.areas() == 0 { Use::DIRTY } else { what });
        }
        for (index, what) in synced.walk(top) {
            if let Use::Slabs { copy, .. } = what {
                let bitmaps = self.bitmaps(index);
                bitmaps.in_force().copy_from(bitmaps.synced(copy));
                bitmaps.transient().changed.set(false);
            }
        }
    }
}

impl Heap<File> {
    /// A heap in the file at `path`, made if there is none, of at most 64 GiB. See
    /// [`Options::file`].
    ///
    /// # Errors
    /// As [`Options::file`].
    pub fn file(path: impl AsRef<Path>) -> Result<Self, Error> {
        Options::new().file(path)
    }

    /// Whether the heap was made by this opening, was closed, or was left otherwise.
    #[must_use]
    pub const fn found(&self) -> Found {
        self.found
    }

    /// The block from which the program finds all others: as last [set](Self::set_root), or after
    /// an opening as last synced. None where none is set.
    ///
    /// # Errors
    /// [`Error::Locked`].
    pub fn root(&self) -> Result<Option<NonNull<u8>>, Error> {
        Ok(match self.exclusive(|| self.engine.root.get())? {
            0 => None,
            offset => NonNull::new(ptr::with_exposed_provenance_mut(self.kind.start.wrapping_add(offset))),
        })
    }

    /// Makes a block the root, or none. It counts for the next opening from the next sync on.
    ///
    /// # Errors
    /// [`Error::NoBlock`] if `root` is no block of this heap in use; [`Error::Locked`].
    pub fn set_root(&self, root: Option<NonNull<u8>>) -> Result<(), Error> {
        self.exclusive(|| {
            let offset = match root {
                Some(root) if !self.engine.is_used(root.addr().get()) => return Err(Error::NoBlock),
                Some(root) => root.addr().get().wrapping_sub(self.kind.start),
                None => 0,
            };
            self.engine.root.set(offset);
            self.engine.changed.set(true);
            Ok(())
        })?
    }

    /// Makes this state the one that later openings find: the blocks' bytes, which blocks are in
    /// use, and the root.
    ///
    /// It waits for the disk (msync(2)). The state counts until the next sync ends. Bytes of its
    /// blocks that the program overwrites in place meanwhile may be found either way. Blocks freed
    /// before the sync are handed out again after it.
    ///
    /// # Errors
    /// [`Error::Map`] or [`Error::File`] with `EIO` or `ENOSPC` if writing failed, and
    /// [`Error::Locked`]: the last sync still counts.
    ///
    /// A failure may leave the heap *in doubt*: the disk may have the new state or the last one,
    /// and both are kept whole. Until a later sync succeeds nothing is allocated or given back.
    /// Bytes of blocks that the device has refused once may be lost, whatever a later sync answers
    /// (fsync(2)).
    pub fn sync(&self) -> Result<(), Error> {
        self.exclusive(|| self.checkpoint())?
    }

    /// Syncs, and marks the file [clean](Found::Clean). A heap that is only dropped is not synced.
    ///
    /// # Errors
    /// As [`sync`](Self::sync). The heap is dropped then, too.
    pub fn close(self) -> Result<(), Error> {
        self.sync()?;
        self.mark(CLEAN)
    }

    /// The word at `offset` in the front.
    fn word(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: callers name words of the front, which is mapped and has room in the file.
        unsafe { &*self.mapping.as_ptr().wrapping_add(offset).cast() }
    }

    /// Sets the [mark](MARK), and waits until the disk has it.
    fn mark(&self, mark: u64) -> Result<(), Error> {
        self.word(MARK).store(mark, Ordering::Release);
        Ok(self.mapping.sync(MARK..MARK.wrapping_add(8), Msync::Sync)?)
    }
}
