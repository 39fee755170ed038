//! Which slabs feed the bins, and how their blocks come home.
//!
//! A slab feeds its class's bin while its pages are in use whatever the bin holds: while it has
//! more used blocks than the bin has room for. Its watermark tells when that ends: then its blocks
//! leave the bin.

use core::ptr::{self, NonNull};

use super::bins::{self, Pushed};
use super::{EMPTY, Heap};
use crate::base::atomic::Ordering;
use crate::base::config::BIN_FROM_UNITS;
use crate::block::free_list::{self, Block};
use crate::block::size_class::{Class, FEEDS_FROM};
use crate::memory::chunk;
use crate::memory::slab::Slab;
use crate::os::KeepErrno;
use crate::os::fatal;
use crate::policy::options;

impl Heap {
    /// A block of the bin of `class`, which has one.
    #[inline(always)]
    pub(crate) fn pop_binned(&'static self, class: Class) -> Option<NonNull<u8>> {
        let start = self.bins.pop(class)?;
        #[cfg(feature = "profile")]
        if !self.sampler.count(class.shape().block as usize) {
            // A sampled block comes from the heap of those.
            let _ = self.bins.push(class, start);
            return None;
        }
        Some(start)
    }

    /// As [`pop_binned`](Self::pop_binned), of any class.
    pub(crate) fn pop_open_bin(&'static self, class: Class) -> Option<Block> {
        if !self.bins.is_open(class) {
            return None;
        }
        // SAFETY: what is in a bin is free, and has two words at least.
        Some(unsafe { Block::from_raw(self.pop_binned(class)?) })
    }

    /// Whether the block of `slab` at `address` is in a bin of this heap. For the owner; another
    /// thread's answer may be outdated at once.
    pub(crate) fn has_binned(&self, slab: &Slab, address: usize) -> bool {
        self.bins.contains(slab.class(), ptr::without_provenance_mut(address))
    }

    /// Whether any blocks go into bins.
    #[inline(always)]
    pub(crate) fn has_bins(&self) -> bool {
        self.bins.is_any_open()
    }

    /// Whether blocks at `address` go into this heap's bins, for all that is at hand.
    #[inline(always)]
    pub(crate) fn is_fed_from(&self, address: usize) -> bool {
        self.binned_units.has(address)
    }

    /// Pushes the free block at `start` onto the bin of `class`.
    #[inline(always)]
    pub(crate) fn push_binned(&self, class: Class, start: NonNull<u8>) -> Pushed {
        self.bins.push(class, start)
    }

    /// Whether blocks of `slab`, which is this heap's, go into its bins. Then it is at hand from
    /// now on. For the owner.
    pub(crate) fn is_fed_by(&'static self, slab: &'static Slab) -> bool {
        if !self.bins.is_open(slab.class())
            || slab.is_inherited()
            || !(slab.feeds_bins() || self.begin_feeding(slab))
        {
            return false;
        }
        self.binned_units.enter(slab.base());
        true
    }

    fn begin_feeding(&'static self, slab: &'static Slab) -> bool {
        let places = slab.class().places();
        if (slab.used() as usize) < places.wrapping_mul(FEEDS_FROM) {
            return false;
        }
        let _keep = KeepErrno::new();
        // Helpers read the watermark under the lock.
        let _lists = self.lists.lock();
        let is_home = ptr::eq(slab.home(), &self.inbox) && !slab.has_absent() && !slab.is_inherited();
        if is_home {
            self.forget(slab);
            slab.set_feeding(places);
        }
        is_home
    }

    /// Forgets which slabs are at hand for frees, but for those that are not inherited.
    pub(super) fn forget_inherited(&self) {
        self.binned_units.clear_all();
        self.forget_owned(Slab::is_inherited);
    }

    /// Removes the slabs `which` from the owned-slab cache.
    fn forget_owned(&self, which: impl Fn(&Slab) -> bool) {
        for entry in &self.owned {
            // SAFETY: the entries are the empty slab or slabs of this heap, whose chunks are
            // mapped.
            if which(unsafe { &*entry.load(Ordering::Relaxed) }) {
                entry.store((&raw const EMPTY).cast_mut(), Ordering::Release);
            }
        }
    }

    /// Ends a slab's feeding of its bin. Its blocks there join its list. For the owner, who holds
    /// the lists' lock if the slab is on a list.
    pub(super) fn end_feeding(&self, slab: &'static Slab) {
        if !slab.feeds_bins() {
            return;
        }
        self.binned_units.clear(slab.base());
        // So that it reports nothing meanwhile.
        slab.set_kept();
        self.bins.take_from(slab.class(), slab.base(), |start| {
            // SAFETY: what is in a bin is free, and a block of a slab.
            let block = unsafe { Block::from_raw(start) };
            // SAFETY: as above.
            if unsafe { free_list::looks_free(start.as_ptr()) } && slab.is_listed(block.address()) {
                return fatal::caught("double free", block.address());
            }
            let _ = slab.push(block);
        });
        slab.set_plain();
    }

    /// Sets the current slab of `class`.
    pub(super) fn set_current(&self, class: Class, slab: *const Slab) {
        self.slabs.set_current(class, slab);
        let at_hand = if self.bins.is_open(class) { &raw const EMPTY } else { slab };
        if let Some(entry) = self.at_hand.get(class.index()) {
            entry.set(at_hand);
        }
    }

    /// Opens the bin of `class`, if its frees are scattered over its slabs and the heap is large.
    /// For the thread's own heap.
    pub(crate) fn open_bin_if_scattered(&'static self, class: Class) {
        if bins::ON
            && self.bins.is_scattered(class)
            && !options::get().check_frees
            && self.units.load(Ordering::Relaxed).cast_signed() >= BIN_FROM_UNITS
        {
            self.open_bin(class);
        }
    }

    #[cold]
    fn open_bin(&'static self, class: Class) {
        if !self.binned_units.make() || !self.bins.open(class) {
            return;
        }
        self.set_current(class, self.slabs.current(class));
        self.forget_owned(|slab| slab.class() == class);
    }

    /// Closes the bin of `class`: its blocks go home. Slabs that fed it would do so again.
    #[cold]
    fn close_bin(&'static self, class: Class) {
        while let Some(start) = self.bins.pop(class) {
            self.bring_home(start);
        }
        self.bins.close(class);
        self.set_current(class, self.slabs.current(class));
    }

    /// Closes all bins.
    pub(super) fn close_bins(&'static self) {
        for class in self.bins.open_classes() {
            self.close_bin(class);
        }
    }

    /// Moves a few blocks from `slab`, the current one of `class`, to its bin, if that is open.
    #[inline]
    pub(super) fn fill_bin(&'static self, class: Class, slab: &'static Slab) {
        if self.bins.is_open(class) {
            self.fill_open_bin(class, slab);
        }
    }

    #[cold]
    fn fill_open_bin(&'static self, class: Class, slab: &'static Slab) {
        if self.bins.is_drained(class) {
            return self.close_bin(class);
        }
        if !slab.feeds_bins() && !self.begin_feeding(slab) {
            return;
        }
        self.bins.fill(class, core::iter::from_fn(|| Some(slab.pop()?.hand_out())));
    }

    /// Pushes the free block at `start` onto the full bin of `class`, of which the older half goes
    /// home.
    #[cold]
    #[inline(never)]
    pub(crate) fn push_onto_full(&'static self, class: Class, start: NonNull<u8>) -> Pushed {
        // A thread whose blocks all go through bins is not idle.
        self.calls.set(self.calls.get().wrapping_add(1));
        let half = self.bins.take_half(class);
        if self.bins.is_flooded(class) {
            self.close_bin(class);
        }
        for start in half.blocks() {
            self.bring_home(start);
        }
        if self.bins.is_open(class) { self.bins.push(class, start) } else { Pushed::Full }
    }

    /// Empties the bins: each block goes home.
    pub(super) fn empty_bins(&'static self) {
        // A helper may have taken a slab just before it was entered.
        self.binned_units.clear_all();
        for class in self.bins.open_classes() {
            while let Some(start) = self.bins.pop(class) {
                self.bring_home(start);
            }
        }
    }

    /// Frees the block at `start`, which was in a bin.
    #[inline]
    fn bring_home(&'static self, start: NonNull<u8>) {
        // SAFETY: what is in a bin is a used block of a slab of one unit, for all that the slab
        // knows: so its chunk is mapped.
        let slab = unsafe { &*chunk::record_at(start.addr().get()) };
        // SAFETY: and it is free.
        let block = unsafe { Block::from_raw(start) };
        // SAFETY: blocks have at least two words.
        if slab.takes_frees_of(&self.inbox) && !unsafe { free_list::looks_free(start.as_ptr()) } {
            if slab.push_told(block) {
                self.settle(slab, slab.occupancy());
            }
        } else {
            self.bring_home_slow(slab, block);
        }
    }

    #[cold]
    #[inline(never)]
    fn bring_home_slow(&'static self, slab: &'static Slab, block: Block) {
        let home = slab.home();
        if home.is_null() {
            // Another free of the block has emptied the slab.
            fatal::caught("double free", block.address());
        } else if ptr::eq(home, &self.inbox) {
            self.free(slab, block);
        } else {
            // A helper has taken the slab.
            // SAFETY: what was in a bin is free.
            unsafe { self.send(slab, block) };
        }
    }

    /// Blocks in the bin of each class that has one, by its index. Any thread may ask.
    pub(crate) fn binned(&self) -> impl Iterator<Item = usize> {
        self.bins.blocks()
    }
}
