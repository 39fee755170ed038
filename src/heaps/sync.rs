//! Syncs of a file heap: the state in force is written to the copies that the last sync does not
//! use.
//!
//! A sync writes the tables and bitmaps back, then the older of the two superblocks. It counts from
//! the moment when the disk has that superblock.
//!
//! Where the superblock's msync(2) fails, the disk may have either state. The superblock is then
//! withdrawn: taken back in memory, and written back again. Where that fails as well, the heap is
//! *in doubt* ([`Engine::in_doubt`]) until a later sync has withdrawn it.

use core::ptr::{self, NonNull};

use super::backing::File;
use super::bitmap::checksum;
use super::engine::Engine;
use super::error::Error;
use super::heap::Heap;
use super::superblock::Superblock;
use super::table::{Table, Use};
use crate::base::atomic::{AtomicU64, Ordering};
use crate::map::Msync;
use crate::memory::slab::SlabState;
use crate::os;

impl Heap<File> {
    /// Syncs. The caller holds the lock, or nobody else has the heap yet.
    pub(super) fn checkpoint(&self) -> Result<(), Error> {
        let generation = self.engine.generation.get().wrapping_add(1);
        if self.engine.in_doubt.get() {
            self.engine.withdraw(generation).map_err(not_synced)?;
        }
        let superblock = self.engine.write_synced(generation);
        let superblock = Superblock { file_bytes: self.kind.file.metadata()?.len(), ..superblock };
        // The superblock must not reach the disk before everything that it leads to.
        self.mapping.sync(.., Msync::Sync)?;
        superblock.store(self.engine.superblock(generation));
        let at = Superblock::offset_of(generation);
        if let Err(error) = self.mapping.sync(at..at.wrapping_add(Superblock::BYTES), Msync::Sync) {
            // A failure leaves the heap in doubt, which the next sync asks about.
            let _ = self.engine.withdraw(generation);
            return Err(error.into());
        }
        self.engine.count_sync(generation);
        self.engine.relist_freed();
        Ok(())
    }
}

impl Engine {
    /// Ends the sync of a holder of the lock that died after it had written the superblock.
    ///
    /// That sync counts if the superblock's msync(2) succeeds: its table and bitmaps must not be
    /// written over.
    pub(super) fn resume_sync(&'static self) {
        let generation = self.generation.get().wrapping_add(1);
        let words = self.superblock(generation);
        if Superblock::load(words).is_some_and(|found| found.generation == generation) {
            match write_back(words) {
                Ok(()) => self.count_sync(generation),
                Err(_) => drop(self.withdraw(generation)),
            }
        }
    }

    /// Makes the sync of `generation` the last one.
    fn count_sync(&self, generation: u64) {
        self.generation.set(generation);
        self.synced_table.set(table_of(generation));
        self.in_doubt.set(false);
    }

    /// Takes back the superblock of a sync that failed. Whether the disk has it is not known.
    ///
    /// The last sync's state goes on in memory. The table and bitmaps of the failed sync may be
    /// written again only once the disk certainly lacks its superblock.
    fn withdraw(&self, generation: u64) -> os::Result<()> {
        // Set before the superblock changes: a death between the two leaves the doubt to the
        // survivors.
        self.in_doubt.set(true);
        let words = self.superblock(generation);
        if let Some(magic) = words.first() {
            magic.store(0, Ordering::Release);
        }
        write_back(words)?;
        self.in_doubt.set(false);
        Ok(())
    }

    /// The words of the superblock that `generation` writes.
    fn superblock(&self, generation: u64) -> &[AtomicU64] {
        let at = self.start.get().wrapping_add(Superblock::offset_of(generation));
        // SAFETY: the front has these words at this offset, aligned, and mapped with the heap.
        unsafe { core::slice::from_raw_parts(ptr::with_exposed_provenance(at), Superblock::WORDS) }
    }

    /// Copies the table in force to the other synced table, and changed bitmaps to their other
    /// copy.
    fn write_synced(&'static self, generation: u64) -> Superblock {
        let (in_force, synced, to) = (self.in_force(), self.synced(), self.table(table_of(generation)));
        let top = self.top();
        for index in 0..top {
            to.set(index, in_force.get(index));
        }
        for (index, what) in in_force.walk(top) {
            let Use::Slabs { .. } = what else { continue };
            let bitmaps = self.bitmaps(index);
            let before = synced.map_or(Use::DIRTY, |synced| synced.get(index));
            let written = match before {
                // A chunk without a used block is synced as free, so that its area is free at once.
                _ if bitmaps.in_force().slabs().all(|(unit, _)| bitmaps.in_force().is_unused(unit)) => {
                    Use::DIRTY
                }
                Use::Slabs { .. } if !bitmaps.transient().changed.get() => before,
                _ => {
                    let copy = usize::from(matches!(before, Use::Slabs { copy: 0, .. }));
                    bitmaps.synced(copy).copy_from(bitmaps.in_force());
                    Use::Slabs { copy, checksum: bitmaps.synced(copy).checksum() }
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

    /// After a sync: blocks freed before it may be used again.
    fn relist_freed(&'static self) {
        self.changed.set(false);
        for (index, what) in self.in_force().walk(self.top()) {
            let Use::Slabs { .. } = what else { continue };
            let bitmaps = self.bitmaps(index);
            if !bitmaps.transient().changed.replace(false) {
                continue;
            }
            for (unit, _) in bitmaps.in_force().slabs() {
                let slab = self.slab(index, unit);
                match slab.state() {
                    SlabState::Current | SlabState::Unlisted | SlabState::Purged => {}
                    _ if bitmaps.in_force().is_unused(unit) => {
                        self.unlist(slab);
                        self.release::<true>(slab);
                    }
                    SlabState::Full if bitmaps.in_force().used(unit) < slab.carved() => {
                        self.unlist(slab);
                        self.list_partial(slab);
                    }
                    SlabState::Full | SlabState::Partial => {}
                }
            }
        }
    }
}

/// The error of a refused msync(2).
fn not_synced(errno: os::Errno) -> Error {
    std::io::Error::from_raw_os_error(errno.0).into()
}

/// Writes a superblock back, and nothing else of the heap: its OS pages hold nothing else.
fn write_back(superblock: &[AtomicU64]) -> os::Result<()> {
    os::calls::sync(NonNull::from(superblock).cast(), Superblock::BYTES, libc::MS_SYNC)
}

/// Index of the table that the sync of `generation` writes.
pub(super) const fn table_of(generation: u64) -> usize {
    if generation & 1 == 0 { 1 } else { 2 }
}

/// Checksum of the first `top` words of a table.
pub(super) fn table_sum(table: Table, top: usize) -> u64 {
    checksum(table.0.iter().take(top).map(|word| word.load(Ordering::Relaxed)))
}
