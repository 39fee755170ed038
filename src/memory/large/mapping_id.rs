//! Which mapping a large block's range lies in, and what kind of mapping that is: one packed word.
//!
//! | bits | what |
//! | --- | --- |
//! | 62–63 | the [`Kind`] |
//! | 61 | *changed*: the range was cut or joined since its guards were made |
//! | 60 | *advised*: the mapping is advised to have huge pages, since its block was dense |
//! | 0–59 | the mapping's number; of a shelved range, the address of the shelf's record |
#![forbid(unsafe_code)]

use crate::base::atomic::{AtomicU64, Ordering};

/// What kind of mapping a range lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(super) enum Kind {
    /// Without guards.
    Plain = 0,
    /// Its guards are marks in the page tables, in the mapping.
    Marked,
    /// Its guards are mappings, so that it is neither resized nor retained.
    Separate,
    /// It is a slot of a shelf.
    Shelved,
}

const KIND_SHIFT: u32 = 62;
const CHANGED: u64 = 1 << 61;
const ADVISED: u64 = 1 << 60;
const NUMBER: u64 = ADVISED - 1;

/// A mapping's kind and number. Only ranges of one mapping may be joined: the kernel does not
/// resize a range that spans two (mremap(2), `EFAULT`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct MappingId(u64);

impl MappingId {
    /// No range's, for tables' free slots, which are zero.
    pub(super) const NONE: Self = Self::pack(Kind::Plain, 0);

    const fn pack(kind: Kind, number: u64) -> Self {
        Self((kind as u64) << KIND_SHIFT | (number & NUMBER))
    }

    /// A new mapping.
    pub(super) fn fresh(kind: Kind) -> Self {
        Self::pack(kind, next_number())
    }

    /// A new mapping, with the guards that this one has, in the same state. Not advised. A shelved
    /// range stays one.
    pub(super) fn fresh_like(self) -> Self {
        if self.is_shelved() {
            return self;
        }
        Self(Self::fresh(self.kind()).0 | (self.0 & CHANGED))
    }

    /// A slot of the shelf whose record lies at `address`.
    pub(super) const fn on_shelf(address: usize) -> Self {
        Self::pack(Kind::Shelved, address as u64)
    }

    /// The address of the shelf's record; none of a range that is on no shelf.
    pub(super) const fn shelf_address(self) -> Option<usize> {
        if self.is_shelved() { Some((self.0 & NUMBER) as usize) } else { None }
    }

    const fn kind(self) -> Kind {
        match self.0 >> KIND_SHIFT {
            0 => Kind::Plain,
            1 => Kind::Marked,
            2 => Kind::Separate,
            _ => Kind::Shelved,
        }
    }

    /// Whether both are of one mapping, whatever was done to their guards.
    pub(super) const fn is_same(self, other: Self) -> bool {
        self.0 & !CHANGED == other.0 & !CHANGED
    }

    /// Whether the range has guards of its own.
    pub(super) const fn is_guarded(self) -> bool {
        matches!(self.kind(), Kind::Marked | Kind::Separate)
    }

    /// Whether its guards are marks.
    pub(super) const fn is_marked(self) -> bool {
        matches!(self.kind(), Kind::Marked)
    }

    /// Whether its guards are mappings.
    pub(super) const fn is_separate(self) -> bool {
        matches!(self.kind(), Kind::Separate)
    }

    /// Whether it is a slot of a shelf.
    pub(super) const fn is_shelved(self) -> bool {
        matches!(self.kind(), Kind::Shelved)
    }

    /// Whether there may be marks inside the range, and none at its ends.
    pub(super) const fn is_changed(self) -> bool {
        self.0 & CHANGED != 0
    }

    /// Notes that the range was cut or joined, if that matters to its guards.
    pub(super) const fn changed(self) -> Self {
        if self.is_marked() { Self(self.0 | CHANGED) } else { self }
    }

    /// Notes that the guards are as they should be.
    pub(super) const fn unchanged(self) -> Self {
        Self(self.0 & !CHANGED)
    }

    /// Whether the mapping is advised to have huge pages.
    pub(super) const fn is_advised(self) -> bool {
        self.0 & ADVISED != 0
    }

    /// Notes that it is.
    pub(super) const fn advised(self) -> Self {
        Self(self.0 | ADVISED)
    }

    /// Notes that it is not.
    pub(super) const fn unadvised(self) -> Self {
        Self(self.0 & !ADVISED)
    }

    /// Notes the advice that `other` has, too: its pages were moved here.
    pub(super) const fn with_advice_of(self, other: Self) -> Self {
        Self(self.0 | (other.0 & ADVISED))
    }

    /// The plain mapping of that number.
    #[cfg(test)]
    pub(super) const fn plain(number: u64) -> Self {
        Self::pack(Kind::Plain, number)
    }
}

/// A number that no call has returned before.
pub(super) fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_an_id_is_kept_by_changes_of_the_others() {
        for kind in [Kind::Plain, Kind::Marked, Kind::Separate, Kind::Shelved] {
            let id = MappingId::pack(kind, 0x7fff_ffff_f080);
            let changed = id.changed().advised();
            assert_eq!((changed.kind(), changed.is_changed()), (kind, kind == Kind::Marked));
            assert!(changed.is_advised() && changed.is_same(id.advised()) && !changed.is_same(id));
            assert_eq!(changed.unchanged().unadvised(), id);
            let like = changed.fresh_like();
            assert_eq!(like.is_changed(), kind == Kind::Marked);
            assert!(kind == Kind::Shelved || !like.is_same(id) && !like.is_advised());
        }
        assert_eq!(MappingId::on_shelf(0x7fff_ffff_f080).shelf_address(), Some(0x7fff_ffff_f080));
        assert_eq!(MappingId::fresh(Kind::Plain).shelf_address(), None);
    }
}
