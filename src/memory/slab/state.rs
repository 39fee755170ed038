//! The state of a slab, which says what list it is on, and how it is opened, closed and handed on.

use core::ptr;

use super::carve::Uncarved;
use super::{Inbox, KEPT, Slab};
use crate::base::atomic::{Ordering, in_order};
use crate::base::config::{RECORD_BYTES, UNIT_BYTES};
use crate::block::hardening;
use crate::block::size_class::{Class, Shape};
use crate::os::watch;

/// What its owner does with a slab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum SlabState {
    /// On no list: the unit is free or not the first one of its slab, or the slab is spare.
    Unlisted = 0,
    /// The one that its class allocates from.
    Current,
    /// On its class's list, with room.
    Partial,
    /// On the list of slabs without room. The fast free path skips it.
    Full,
    /// As `Partial`, with [absent blocks](super::absent). The fast free path skips it.
    Purged,
}

/// Whether a slab feeds a bin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Feeds {
    Nothing = 0,
    Bin,
    /// It did, and has absent blocks from that time.
    NoMore,
}

impl SlabState {
    const fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::Current,
            2 => Self::Partial,
            3 => Self::Full,
            4 => Self::Purged,
            _ => Self::Unlisted,
        }
    }

    /// Whether frees by the owner need no lock.
    pub(super) const fn takes_frees(self) -> bool {
        !matches!(self, Self::Full | Self::Purged)
    }
}

impl Slab {
    pub(crate) fn state(&self) -> SlabState {
        // Acquire: the counterpart of the store in `move_to`.
        SlabState::from_byte(self.state.load(Ordering::Acquire))
    }

    /// Whether this is the record of an open slab's first unit. Any thread may ask, and then sees
    /// what [`open`](Self::open) wrote.
    pub(crate) fn is_open(&self) -> bool {
        self.state() != SlabState::Unlisted && self.lead.load(Ordering::Relaxed) == 0
    }

    /// Makes the record a slab of `class` over fresh units. `zero`: the units read as zero.
    pub(crate) fn open(&'static self, class: Class, zero: bool, home: &'static Inbox) {
        let &Shape { block, units, capacity, inverse } = class.shape();
        hardening::prepare();
        self.watermark.set(0);
        self.count.store(0, Ordering::Relaxed);
        self.free.clear();
        self.quarantine.or(&self.free).clear();
        self.unit.set(self.base() / UNIT_BYTES);
        self.carved.set(0);
        self.carved_bytes.set(0);
        self.block_bytes.set(block);
        self.inverse.set(inverse);
        self.bound.set(inverse);
        self.long_inverse.set(u64::MAX.checked_div(block.into()).unwrap_or(0).wrapping_add(1));
        self.capacity.set(capacity);
        self.class.set(class.index() as u8);
        self.units.set(units as u8);
        self.set_own();
        self.uncarved.set(if zero { Uncarved::Untouched } else { Uncarved::Dirty });
        self.last_tick.set(0);
        for unit in 0..units as u8 {
            // SAFETY: the run's records lie one after another in the chunk header.
            let record =
                unsafe { &*ptr::from_ref(self).byte_add(usize::from(unit).wrapping_mul(RECORD_BYTES)) };
            record.lead.store(unit, Ordering::Relaxed);
        }
        // Last: whoever finds the slab open from outside sees all of the above.
        self.open_again(home);
    }

    /// Ends the slab: no block is used. Its units may be given away afterwards.
    pub(crate) fn close(&self) {
        watch::open(self.pointer(0), self.carved_bytes());
        self.forget_absent();
        self.move_to(SlabState::Unlisted);
        self.home.store(ptr::null_mut(), Ordering::Relaxed);
    }

    /// Gives a closed slab, with its free blocks as they were, to `home`.
    pub(crate) fn open_again(&self, home: &'static Inbox) {
        self.move_to(SlabState::Partial);
        self.set_home(home);
    }

    /// Gives the slab to another heap.
    pub(crate) fn set_home(&self, home: &'static Inbox) {
        self.set_plain();
        self.home.store(ptr::from_ref(home).cast_mut(), Ordering::Release);
    }

    pub(crate) fn move_to(&self, state: SlabState) {
        // Release: who finds the slab in that state sees what was done to it before.
        self.state.store(state as u8, Ordering::Release);
    }

    /// Notes that the heap keeps the slab current even when it is empty.
    pub(crate) fn set_kept(&self) {
        self.set_watermark(KEPT);
    }

    /// Notes that the slab feeds its class's bin, of `places` blocks.
    pub(crate) fn set_feeding(&self, places: usize) {
        self.feeds.store(Feeds::Bin as u8, Ordering::Relaxed);
        self.set_watermark(places as i8);
    }

    /// Notes that a free is to tell when the used blocks have fallen to `blocks`, of a slab that
    /// has more.
    pub(super) fn set_watched(&self, blocks: usize) {
        self.set_watermark(blocks as i8);
    }

    /// Whether its blocks may go into a bin. For the owner.
    #[inline]
    pub(crate) fn feeds_bins(&self) -> bool {
        self.feeds.load(Ordering::Relaxed) == Feeds::Bin as u8
    }

    /// Whether pages of [absent blocks](super::absent) are resident as a rule: those blocks came
    /// from a bin. For the owner.
    pub(crate) fn has_resident_absent(&self) -> bool {
        self.has_absent() && self.feeds.load(Ordering::Relaxed) != Feeds::Nothing as u8
    }

    /// Notes that the pages of absent blocks, if there are any, have gone back. For the owner.
    pub(super) fn forget_resident_absent(&self) {
        if !self.feeds_bins() {
            self.feeds.store(Feeds::Nothing as u8, Ordering::Relaxed);
        }
    }

    /// Ends its being kept.
    pub(crate) fn unset_kept(&self) {
        if self.watermark.get() == KEPT {
            self.set_plain();
        }
    }

    /// Ends all of that.
    pub(crate) fn set_plain(&self) {
        let feeds = if self.has_resident_absent() { Feeds::NoMore } else { Feeds::Nothing };
        self.feeds.store(feeds as u8, Ordering::Relaxed);
        self.set_watermark(0);
    }

    fn set_watermark(&self, watermark: i8) {
        let used = self.used().cast_signed();
        let set_count = || self.count.store(i32::from(watermark).wrapping_sub(used), Ordering::Relaxed);
        // A forked child may have only the first store of the two. It then counts too many used
        // blocks, so that the slab never falls empty, rather than too few.
        if watermark < self.watermark.get() {
            set_count();
            in_order();
            self.watermark.set(watermark);
        } else {
            self.watermark.set(watermark);
            in_order();
            set_count();
        }
    }
}
