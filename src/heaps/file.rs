//! Heaps in files: made, opened, synced and closed.

use core::ptr::{self, NonNull};
use std::fs::{File as OsFile, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::backing::{Backing, File};
use super::books::checksum;
use super::engine::Engine;
use super::error::Error;
use super::geometry::{GREATEST_LIMIT, Geometry, LEAST_LIMIT, MARK, SUPERBLOCKS};
use super::superblock::{self, Beginning, Superblock};
use super::table::{Table, Use};
use super::{Found, Heap, Options};
use crate::base::atomic::{AtomicU64, Ordering};
use crate::base::config::{CHUNK_BYTES, UNIT_BYTES};
use crate::map::{self, Mapping, Msync, Protection};
use crate::memory::slab::Place;
use crate::os;

/// Addresses that the kernel's randomisation of stacks, mappings and programs stays away from: those
/// begin from the top and from two thirds of the way there. The first are for kernels that offer 47
/// bits and more (x86-64, most aarch64, Sv48 of RISC-V); sanitizers' shadows lie below. Where the kernel
/// offers fewer, the next are tried: those for 42 bits (aarch64 with pages of 64 KiB), and those for 39 and
/// 38 (aarch64, and Sv39 of RISC-V, whose programs have half of its addresses).
const ADDRESSES: [(usize, usize); 3] = [
    (0x2000_0000_0000, 0x5000_0000_0000),
    (0x80_0000_0000, 0x140_0000_0000),
    (0x4_0000_0000, 0x20_0000_0000),
];
/// Heaps begin on multiples of this.
const ADDRESS_STEP: usize = 1 << 30;
/// How many addresses are tried for a new heap.
const ATTEMPTS: usize = 64;

/// What the mark says after [`Heap::close`].
const CLEAN: u64 = u64::from_le_bytes(*b"CLEAN   ");
/// What it says while the file is in use, and after that ended otherwise.
const IN_USE: u64 = u64::from_le_bytes(*b"IN USE  ");

pub(super) fn open(path: &Path, options: &Options) -> Result<Heap<File>, Error> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    match os::file::lock_whole(file.as_fd()) {
        Ok(()) => {}
        Err(errno) if errno.0 == libc::EWOULDBLOCK => return Err(Error::InUse),
        Err(errno) => return Err(std::io::Error::from_raw_os_error(errno.0).into()),
    }
    if file.metadata()?.len() == 0 {
        return make(file, options);
    }
    match superblock::read(&file)? {
        Beginning::Heap(superblock) => open_heap(file, &superblock),
        Beginning::Unfinished => make(file, options),
        Beginning::Foreign => Err(Error::Foreign),
        Beginning::Version(found) => Err(Error::Version { found, known: superblock::version() }),
        Beginning::Damaged => Err(Error::Damaged("no superblock is whole")),
    }
}

fn map_at(file: &OsFile, address: usize, geometry: Geometry) -> Result<Mapping, map::Error> {
    Mapping::file(file)
        .len(geometry.whole())
        .shared()
        .protection(Protection::READ_WRITE)
        .exactly_at(address)
        .map()
}

fn is_taken(error: &map::Error) -> bool {
    match error {
        map::Error::Kernel { errno, .. } => errno.number() == libc::EEXIST,
        map::Error::Refused(refusal) => *refusal == map::Refusal::NotPlaced,
    }
}

/// Whether the kernel had no room: also what it answers to an address beyond those it offers.
fn has_no_room(error: &map::Error) -> bool {
    error.errno().is_some_and(|errno| errno.number() == libc::ENOMEM)
}

/// Maps a new heap at some address that is free here and will be elsewhere. The error is the last one's.
fn map_anew(file: &OsFile, geometry: Geometry) -> Result<Mapping, map::Error> {
    let [high, middle, low] = ADDRESSES;
    let or_in = |answer: Result<Mapping, map::Error>, range| match answer {
        Err(error) if has_no_room(&error) => map_in(range, file, geometry),
        answer => answer,
    };
    or_in(or_in(map_in(high, file, geometry), middle), low)
}

/// Maps a new heap somewhere between two addresses.
fn map_in((low, high): (usize, usize), file: &OsFile, geometry: Geometry) -> Result<Mapping, map::Error> {
    let steps = high.wrapping_sub(low).saturating_sub(geometry.whole()) / ADDRESS_STEP;
    let random = RandomState::new();
    let mut attempt = 0_usize;
    loop {
        let mut hasher = random.build_hasher();
        hasher.write_usize(attempt);
        let step = (hasher.finish() as usize).checked_rem(steps).unwrap_or(0);
        let answer = map_at(file, low.wrapping_add(step.wrapping_mul(ADDRESS_STEP)), geometry);
        attempt = attempt.wrapping_add(1);
        match answer {
            Err(error) if is_taken(&error) && attempt < ATTEMPTS => {}
            answer => return answer,
        }
    }
}

fn not_synced(errno: os::Errno) -> Error {
    std::io::Error::from_raw_os_error(errno.0).into()
}

fn start_of(mapping: &Mapping) -> NonNull<u8> {
    // SAFETY: no mapping is at null.
    unsafe { NonNull::new_unchecked(mapping.as_mut_ptr()) }
}

/// Makes an empty file a heap. Whoever dies in here leaves an unfinished file, which is made anew.
fn make(file: OsFile, options: &Options) -> Result<Heap<File>, Error> {
    let geometry = Geometry::of(options.limit.unwrap_or(super::DEFAULT_LIMIT));
    // Nothing of an earlier attempt may be taken for this one's.
    if file.write_at(&superblock::UNFINISHED.to_le_bytes(), 0)? != 8 {
        return Err(std::io::Error::from_raw_os_error(libc::ENOSPC).into());
    }
    file.set_len(8)?;
    let front = geometry.front() as u64;
    os::file::make_room(file.as_fd(), 0, front)
        .map_err(|errno| std::io::Error::from_raw_os_error(errno.0))?;
    let mapping = map_anew(&file, geometry)?;
    let start = start_of(&mapping);
    // SAFETY: the front has room in the file, which nobody else has open as a heap.
    let engine = unsafe { Engine::place(start, geometry) };
    // SAFETY: nobody uses it yet.
    unsafe { engine.mutex.init() }.map_err(|_| Error::Locked)?;
    engine.synced.set(1);
    let heap = Heap { engine, kind: File { file, start: start.addr().get() }, mapping, found: Found::New };
    heap.mark(IN_USE)?;
    heap.write_down()?;
    // From here on the other superblock counts; this one's place is for the next sync.
    heap.word(SUPERBLOCKS[0]).store(0, Ordering::Release);
    heap.mapping.sync(..MARK, Msync::Sync)?;
    Ok(heap)
}

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
    if top > geometry.chunks() {
        return Err(Error::Damaged("the size of the table"));
    }
    let mapping = map_at(&file, address, geometry).map_err(|error| match is_taken(&error) {
        true => Error::AddressTaken { address, bytes: geometry.whole() },
        false => Error::Map(error),
    })?;
    let start = start_of(&mapping);
    // SAFETY: the front lies inside the file, which nobody else has open as a heap.
    let engine = unsafe { Engine::place(start, geometry) };
    // SAFETY: nobody uses it yet.
    unsafe { engine.mutex.init() }.map_err(|_| Error::Locked)?;
    engine.generation.set(superblock.generation);
    engine.synced.set(table_of(superblock.generation));
    engine.root.set(superblock.root);
    engine.top.store(top, Ordering::Release);
    check(engine, superblock)?;
    let mut heap =
        Heap { engine, kind: File { file, start: start.addr().get() }, mapping, found: Found::Dirty };
    if heap.word(MARK).load(Ordering::Relaxed) == CLEAN {
        heap.found = Found::Clean;
    }
    heap.mark(IN_USE)?;
    heap.engine.take_up_synced(length);
    heap.engine.rebuild(&heap.kind);
    Ok(heap)
}

/// Writes the superblock at `start` back, and nothing that lies apart from it.
fn sync_superblock(start: NonNull<u8>) -> os::Result<()> {
    os::calls::sync(start, Superblock::BYTES, libc::MS_SYNC)
}

/// Which table a sync writes.
const fn table_of(generation: u64) -> usize {
    if generation & 1 == 0 { 1 } else { 2 }
}

fn table_sum(table: Table, top: usize) -> u64 {
    checksum(table.0.iter().take(top).map(|word| word.load(Ordering::Relaxed)))
}

/// Looks through everything that the last sync wrote.
fn check(engine: &'static Engine, superblock: &Superblock) -> Result<(), Error> {
    let geometry = engine.geometry.get();
    let Some(then) = engine.then() else { return Err(Error::Damaged("the count of syncs")) };
    if table_sum(then, superblock.top) != superblock.table {
        return Err(Error::Damaged("the table of chunks"));
    }
    for (index, what) in then.walk(superblock.top) {
        let bytes = match what {
            Use::Free { .. } => continue,
            Use::Span { units } => units.saturating_mul(UNIT_BYTES),
            Use::Slabs { .. } => geometry.bytes_from(index).min(CHUNK_BYTES),
        };
        let end = geometry.front().saturating_add(index.saturating_mul(CHUNK_BYTES)).saturating_add(bytes);
        if bytes > geometry.bytes_from(index) || end as u64 > superblock.file_bytes {
            return Err(Error::Damaged("the table of chunks names what the file has not"));
        }
        if let Use::Slabs { page, checksum } = what {
            let page = engine.books(index).synced(page);
            if page.checksum() != checksum || page.strays() {
                return Err(Error::Damaged("the books of a chunk"));
            }
        }
    }
    Ok(())
}

impl Engine {
    /// Makes what the last sync said the state in force, of a file of `length` bytes.
    fn take_up_synced(&'static self, length: u64) {
        let Some(then) = self.then() else { return };
        let (now, top) = (self.now(), self.top());
        for index in 0..self.geometry.get().chunks() {
            let end = self.geometry.get().front().wrapping_add(index.wrapping_mul(CHUNK_BYTES));
            // Beyond the top the last run may have written what it never synced.
            let beyond = Use::Free { zero: end as u64 >= length };
            let what = if index < top { then.get(index) } else { beyond };
            now.set(index, if index < top && what.chunks() == 0 { Use::DIRTY } else { what });
        }
        for (index, what) in then.walk(top) {
            if let Use::Slabs { page, .. } = what {
                let books = self.books(index);
                books.now().copy_from(books.synced(page));
                books.beside().changed.set(false);
            }
        }
    }

    /// If whoever died had written the next superblock, that sync counts: its table and pages must
    /// not be written over.
    pub(super) fn resume_sync(&'static self) {
        let generation = self.generation.get().wrapping_add(1);
        let at = self.start.get().wrapping_add(Superblock::place_of(generation));
        let Some(start) = NonNull::new(ptr::with_exposed_provenance_mut::<u8>(at)) else { return };
        // SAFETY: the front has the words at this place.
        let place = unsafe { core::slice::from_raw_parts(start.as_ptr().cast(), Superblock::WORDS) };
        if Superblock::load(place).is_some_and(|found| found.generation == generation) {
            match sync_superblock(start) {
                Ok(()) => self.count_sync(generation),
                Err(_) => drop(self.withdraw(generation)),
            }
        }
    }

    fn count_sync(&self, generation: u64) {
        self.generation.set(generation);
        self.synced.set(table_of(generation));
        self.doubt.set(false);
    }

    /// Takes back the superblock of a sync that failed: whether the disk has it is not known, and memory goes on
    /// with the last one. Its table and pages may be written again only when the disk has it no more.
    fn withdraw(&self, generation: u64) -> os::Result<()> {
        // Before the word: whoever dies between leaves it to the next.
        self.doubt.set(true);
        let at = self.start.get().wrapping_add(Superblock::place_of(generation));
        let Some(start) = NonNull::new(ptr::with_exposed_provenance_mut::<u8>(at)) else { return Ok(()) };
        // SAFETY: the front has an aligned word at this place.
        unsafe { start.cast::<AtomicU64>().as_ref() }.store(0, Ordering::Release);
        sync_superblock(start)?;
        self.doubt.set(false);
        Ok(())
    }

    /// Writes what is in force to the other table, and changed chunks' books to their other page.
    fn write_synced(&'static self, generation: u64) -> Superblock {
        let (now, then, to) = (self.now(), self.then(), self.table(table_of(generation)));
        let top = self.top();
        for index in 0..top {
            to.set(index, now.get(index));
        }
        for (index, what) in now.walk(top) {
            let Use::Slabs { .. } = what else { continue };
            let books = self.books(index);
            let before = then.map_or(Use::DIRTY, |then| then.get(index));
            let written = match before {
                // Nothing is lost with a chunk of which no block is used, and its place serves at once.
                _ if books.now().slabs().all(|(unit, _)| books.now().is_unused(unit)) => Use::DIRTY,
                Use::Slabs { .. } if !books.beside().changed.get() => before,
                _ => {
                    let page = usize::from(matches!(before, Use::Slabs { page: 0, .. }));
                    books.synced(page).copy_from(books.now());
                    Use::Slabs { page, checksum: books.synced(page).checksum() }
                }
            };
            to.set(index, written);
        }
        Superblock {
            generation,
            address: self.start.get(),
            limit: self.geometry.get().limit,
            root: self.root.get(),
            top,
            file_bytes: 0,
            table: table_sum(to, top),
        }
    }

    /// After a sync: what was freed before it may be used again.
    fn free_what_waited(&'static self) {
        self.changed.set(false);
        for (index, what) in self.now().walk(self.top()) {
            let Use::Slabs { .. } = what else { continue };
            let books = self.books(index);
            if !books.beside().changed.replace(false) {
                continue;
            }
            for (unit, _) in books.now().slabs() {
                let slab = self.slab(index, unit);
                match slab.place() {
                    Place::Current | Place::Nowhere => {}
                    _ if books.now().is_unused(unit) => {
                        self.unlist(slab);
                        self.release::<true>(slab);
                    }
                    Place::Full if books.now().used(unit) < slab.carved() => {
                        self.unlist(slab);
                        self.wait(slab);
                    }
                    Place::Full | Place::Partial => {}
                }
            }
        }
    }
}

impl Heap<File> {
    /// A heap in the file at `path`, made if there is none, of at most 64 GiB. See [`Options::file`].
    ///
    /// # Errors
    /// As [`Options::file`].
    pub fn file(path: impl AsRef<Path>) -> Result<Self, Error> {
        Options::new().file(path)
    }

    /// What was found at opening.
    #[must_use]
    pub const fn found(&self) -> Found {
        self.found
    }

    /// The block that everything else is found from: as last [set](Self::set_root), or after an
    /// opening as last synced.
    #[must_use]
    pub fn root(&self) -> Option<NonNull<u8>> {
        let place = self.kind.alone(self.engine, || self.engine.root.get())?;
        if place == 0 {
            return None;
        }
        NonNull::new(ptr::with_exposed_provenance_mut(self.kind.start.wrapping_add(place)))
    }

    /// Makes a block the root, or none. It counts for the next opening from the next sync on.
    ///
    /// # Errors
    /// [`Error::NoBlock`] if `root` is no block of this heap in use.
    pub fn set_root(&self, root: Option<NonNull<u8>>) -> Result<(), Error> {
        let done = self.kind.alone(self.engine, || {
            let place = match root {
                Some(root) if !self.engine.uses(root.addr().get()) => return Err(Error::NoBlock),
                Some(root) => root.addr().get().wrapping_sub(self.kind.start),
                None => 0,
            };
            self.engine.root.set(place);
            self.engine.changed.set(true);
            Ok(())
        });
        done.unwrap_or(Err(Error::Locked))
    }

    /// Writes everything down: bytes of blocks, which of them are in use, and the root. What an
    /// opening after this finds is this, until the next sync ends; whatever of it the program
    /// overwrites in place meanwhile may be found either way.
    ///
    /// Waits for the disk (msync(2)). Blocks freed before are used again from now on.
    ///
    /// # Errors
    /// [`Error::Map`] or [`Error::File`] with `EIO` or `ENOSPC` if writing failed: the last sync still counts.
    /// Where it is not known whether the disk has the new state or the last one, both are kept whole: until a
    /// later sync succeeds nothing is allocated. Blocks' bytes that the device has once refused may be lost,
    /// whatever a later sync answers (fsync(2)).
    pub fn sync(&self) -> Result<(), Error> {
        self.kind.alone(self.engine, || self.write_down()).unwrap_or(Err(Error::Locked))
    }

    /// Syncs, and marks the file [clean](Found::Clean). A heap that is only dropped is not synced.
    ///
    /// # Errors
    /// As [`sync`](Self::sync).
    pub fn close(self) -> Result<(), Error> {
        self.sync()?;
        self.mark(CLEAN)
    }

    /// Under the lock, or before anyone else has the heap.
    fn write_down(&self) -> Result<(), Error> {
        let generation = self.engine.generation.get().wrapping_add(1);
        if self.engine.doubt.get() {
            self.engine.withdraw(generation).map_err(not_synced)?;
        }
        let superblock = self.engine.write_synced(generation);
        let superblock = Superblock { file_bytes: self.kind.file.metadata()?.len(), ..superblock };
        // First everything that the superblock speaks of, then the superblock.
        self.mapping.sync(.., Msync::Sync)?;
        let at = Superblock::place_of(generation);
        // SAFETY: the front has the words at this place.
        let place: &[AtomicU64] =
            unsafe { core::slice::from_raw_parts(ptr::from_ref(self.word(at)), Superblock::WORDS) };
        superblock.store(place);
        if let Err(error) = self.mapping.sync(at..at.wrapping_add(Superblock::BYTES), Msync::Sync) {
            let _ = self.engine.withdraw(generation);
            return Err(error.into());
        }
        self.engine.count_sync(generation);
        self.engine.free_what_waited();
        Ok(())
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        // SAFETY: asked for places in the front, which is mapped and has room in the file.
        unsafe { &*self.mapping.as_ptr().wrapping_add(at).cast() }
    }

    fn mark(&self, mark: u64) -> Result<(), Error> {
        self.word(MARK).store(mark, Ordering::Release);
        Ok(self.mapping.sync(MARK..MARK.wrapping_add(8), Msync::Sync)?)
    }
}
