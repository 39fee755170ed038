//! Which slabs feed the bins, and how their blocks come home.
//!
//! A slab feeds its class's bin while its pages are in use whatever the bin holds: while it has
//! more used blocks than the bin has room for. Its watermark tells when that ends: then its blocks
//! leave the bin.

use core::ptr::{self, NonNull};
use core::sync::atomic::fence;

use super::bins::Pushed;
use super::{EMPTY, Heap, help};
use crate::base::atomic::Ordering;
use crate::base::config::{BIN_FROM_UNITS, UNIT_BYTES};
use crate::block::free_list::Block;
use crate::block::size_class::{Class, FEEDS_FROM};
use crate::memory::chunk;
use crate::memory::slab::{Slab, SlabState};
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

    /// Whether blocks of `class` at `address` go into this heap's bins, for all that is at hand.
    #[inline(always)]
    pub(crate) fn is_fed_from(&self, address: usize, class: Class) -> bool {
        self.binned_units.has(address, class)
    }

    /// The class of the blocks at `address`, if they go into this heap's bins, for all that is at
    /// hand. Their slab is carved to its end.
    #[inline(always)]
    pub(crate) fn fed_class(&self, address: usize) -> Option<Class> {
        self.binned_units.class_at(address)
    }

    /// Pushes the free block at `start` onto the bin of `class`.
    #[inline(always)]
    pub(crate) fn push_binned(&self, class: Class, start: NonNull<u8>) -> Pushed {
        self.bins.push(class, start)
    }

    /// As [`push_binned`](Self::push_binned), for the door without layouts: a block is told apart
    /// wherever it is in the bin, which is open.
    #[inline(always)]
    pub(crate) fn push_untyped(&self, class: Class, start: NonNull<u8>) -> Pushed {
        if self.has_unkeyed() && self.bins.contains(class, start.as_ptr()) {
            return Pushed::Twice;
        }
        self.bins.push_keyed(class, start)
    }

    /// A block of the bin of `class`, if it has one, for the door without layouts.
    #[inline(always)]
    pub(crate) fn pop_untyped(&'static self, class: Class) -> Option<NonNull<u8>> {
        let start = self.pop_binned(class)?;
        self.bins.clear_key(class);
        Some(start)
    }

    /// Whether blocks may be in bins without a key: those that were freed through a layout.
    #[inline(always)]
    fn has_unkeyed(&self) -> bool {
        self.requests.has_freed()
    }

    /// Writes the keys of the bin of `class` anew, after more than one block has come or gone.
    #[inline]
    fn set_keys(&self, class: Class) {
        if !self.has_unkeyed() {
            self.bins.set_keys(class);
        }
    }

    /// Whether blocks of `slab`, which is this heap's, go into its bins. Then it is at hand from
    /// now on. For the owner.
    pub(crate) fn is_fed_by(&'static self, slab: &'static Slab) -> bool {
        let is_fed = !slab.is_inherited() && self.feeds_or_begins(slab);
        if !is_fed || slab.has_uncarved() {
            return is_fed;
        }
        self.binned_units.enter(slab.base(), slab.class());
        // A helper that takes the slab at this moment ends its feeding and then clears the entry:
        // either it sees the entry, or this sees the end. Else the unit could be another class's
        // one day, and still in the table.
        fence(Ordering::SeqCst);
        let goes_on = slab.feeds_bins();
        if !goes_on {
            self.binned_units.clear(slab.base());
        }
        goes_on
    }

    /// Ends the feeding of a slab that a helper takes.
    pub(super) fn end_feeding_by_helper(&self, slab: &Slab) {
        slab.set_plain();
        // See `is_fed_by`.
        fence(Ordering::SeqCst);
        self.binned_units.clear(slab.base());
    }

    /// Whether `slab`, which becomes the current one, feeds a bin. Else it does so no more.
    #[inline]
    pub(super) fn goes_on_feeding(&'static self, slab: &'static Slab) -> bool {
        (slab.feeds_bins() || self.bins.is_open(slab.class())) && self.goes_on_feeding_slow(slab)
    }

    #[cold]
    fn goes_on_feeding_slow(&'static self, slab: &'static Slab) -> bool {
        slab.set_own();
        let feeds = self.feeds_or_begins(slab);
        if !feeds {
            self.end_feeding(slab);
        }
        feeds
    }

    /// Whether `slab`, one of this heap and not inherited, feeds a bin from now on. For the owner.
    fn feeds_or_begins(&'static self, slab: &'static Slab) -> bool {
        self.bins.is_open(slab.class()) && (slab.feeds_bins() || self.begin_feeding(slab))
    }

    fn begin_feeding(&'static self, slab: &'static Slab) -> bool {
        let places = slab.class().places();
        if (slab.used() as usize) < places.wrapping_mul(FEEDS_FROM) {
            return false;
        }
        let _keep = KeepErrno::new();
        // Helpers read the watermark under the lock.
        let _lists = self.lists.lock();
        let is_home = ptr::eq(slab.home(), &self.inbox);
        if is_home {
            self.forget(slab);
            slab.make_absent();
            slab.set_feeding(places);
            self.repark(slab);
        }
        is_home
    }

    /// Moves a slab with room to the list of its new state, where its first block became absent or
    /// its last one is that no more. For the owner, who holds the lists' lock.
    fn repark(&'static self, slab: &'static Slab) {
        if matches!(
            (slab.state(), slab.has_absent()),
            (SlabState::Partial, true) | (SlabState::Purged, false)
        ) {
            self.slabs.partial(slab.class()).remove(slab);
            self.park_partial(slab);
        }
    }

    /// Forgets which slabs are at hand for frees, but for those that are not inherited.
    pub(super) fn forget_inherited(&self) {
        self.binned_units.clear_all();
        self.owned.remove_all(Slab::is_inherited);
    }

    /// Ends a slab's feeding of its bin. Its blocks there come home. For the owner, who holds the
    /// lists' lock if the slab is on a list.
    pub(super) fn end_feeding(&self, slab: &'static Slab) {
        if !slab.feeds_bins() {
            return;
        }
        self.binned_units.clear(slab.base());
        // So that it reports nothing meanwhile.
        slab.set_kept();
        self.bins.take_from(slab.class(), slab.base(), |start| {
            let index = slab.index_at(start.addr().get());
            if slab.is_absent_at(index) {
                return fatal::caught("double free", start.addr().get());
            }
            let _ = slab.push_absent(index);
        });
        self.set_keys(slab.class());
        slab.set_plain();
        if slab.state() == SlabState::Current {
            slab.list_absent();
        }
    }

    /// Puts the absent blocks of a purged slab back on its list, if their pages are there and its
    /// class has no bin: frees into it are fast again. For the owner, who holds the lists' lock.
    pub(super) fn list_resident(&'static self, slab: &'static Slab) {
        if !slab.has_resident_absent() || slab.is_inherited() || self.bins.is_open(slab.class()) {
            return;
        }
        self.end_feeding(slab);
        slab.list_absent();
        self.repark(slab);
    }

    /// A block of `slab`, the current one of its class.
    #[inline]
    pub(super) fn take_from(&'static self, slab: &'static Slab) -> Option<Block> {
        if slab.feeds_bins() { take_absent_from(slab) } else { slab.pop_any() }
    }

    /// Sets the current slab of `class`.
    pub(super) fn set_current(&self, class: Class, slab: *const Slab) {
        self.slabs.set_current(class, slab);
        let at_hand = if self.bins.is_open(class) { &raw const EMPTY } else { slab };
        if let Some(entry) = self.at_hand.get(class.index()) {
            entry.set(at_hand);
        }
    }

    /// Opens the bin of `class`, of which the frees are scattered over its slabs, if this is a
    /// thread's heap and a large one.
    #[cold]
    #[inline(never)]
    pub(super) fn open_bin(&'static self, class: Class) {
        if self.units.load(Ordering::Relaxed).cast_signed() < BIN_FROM_UNITS
            || options::get().check_frees
            || !help::is_of_thread(self)
            || !self.binned_units.make()
            || !self.bins.open(class)
        {
            return;
        }
        self.set_current(class, self.slabs.current(class));
        self.owned.remove_all(|slab| slab.class() == class);
    }

    /// Closes the bin of `class`: its blocks go home. Slabs that fed it would do so again.
    #[cold]
    fn close_bin(&'static self, class: Class) {
        while let Some(start) = self.bins.pop(class) {
            self.bring_home(class, start);
        }
        self.bins.close(class);
        let current = self.slabs.current(class);
        self.end_feeding(current);
        self.set_current(class, current);
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
        let mut taken = 1;
        if slab.feeds_bins() || self.begin_feeding(slab) {
            taken = self.bins.fill(class, |most, each| slab.take_absent(most, each)).wrapping_add(1);
            self.set_keys(class);
        }
        if self.bins.is_drained(class, taken) {
            self.close_bin(class);
        }
    }

    /// The older half of the full bin of `class` goes home. False where all of it has, and the bin
    /// is closed.
    #[cold]
    #[inline(never)]
    pub(crate) fn make_room(&'static self, class: Class) -> bool {
        // A thread whose blocks all go through bins is not idle.
        self.calls.set(self.calls.get().wrapping_add(1));
        let half = self.bins.take_half(class);
        if self.bins.is_flooded(class) {
            self.close_bin(class);
        }
        self.set_keys(class);
        for start in half.blocks() {
            self.bring_home(class, start);
        }
        self.bins.is_open(class)
    }

    /// Empties the bins: each block goes home.
    pub(super) fn empty_bins(&'static self) {
        // A helper may have taken a slab just before it was entered.
        self.binned_units.clear_all();
        for class in self.bins.open_classes() {
            while let Some(start) = self.bins.pop(class) {
                self.bring_home(class, start);
            }
            self.set_keys(class);
        }
    }

    /// Frees the block at `start`, which was in a bin.
    #[inline]
    fn bring_home(&'static self, class: Class, start: NonNull<u8>) {
        // SAFETY: what is in a bin is a used block of a slab of one unit, for all that the slab
        // knows: so its chunk is mapped.
        let slab = unsafe { &*chunk::record_at(start.addr().get()) };
        // SAFETY: and it is free.
        let block = unsafe { Block::from_raw(start) };
        let is_at_hand = self.may_bring_home(slab);
        let index = class.shape().index_of(start.addr().get() % UNIT_BYTES);
        let Some(index) = index.filter(|_| is_at_hand) else {
            return self.bring_home_slow(slab, block);
        };
        if slab.is_absent_at(index) {
            return fatal::caught("double free", start.addr().get());
        }
        if slab.push_absent(index) {
            self.settle(slab, slab.occupancy());
        }
    }

    /// Whether a block of `slab` that was in a bin is home by its bit alone.
    #[inline]
    fn may_bring_home(&self, slab: &Slab) -> bool {
        ptr::eq(slab.home(), &self.inbox)
            && slab.feeds_bins()
            && matches!(slab.state(), SlabState::Current | SlabState::Purged)
            && !slab.is_inherited()
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

/// A block of a current slab that feeds a bin.
#[cold]
#[inline(never)]
fn take_absent_from(slab: &Slab) -> Option<Block> {
    if !slab.has_absent() {
        return None;
    }
    let mut found = None;
    slab.take_absent(1, |start| found = Some(start));
    // SAFETY: what the slab gives is free, and has two words at least.
    found.map(|start| unsafe { Block::from_raw(start) })
}
