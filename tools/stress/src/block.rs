//! A block under test: asked for, filled, checked, resized and given back.

use std::alloc::Layout;
use std::ptr::{self, NonNull};

use crate::door::{self, Door};
use crate::failure::{Damage, Holder};
use crate::limits::Moment;
use crate::pattern::{self, Care, Pattern};
use crate::ranges;
use crate::timing::{Call, Clock};
use crate::whose::Whose;

/// A live block, filled with the pattern of its id. Whoever has it must free it.
#[must_use]
#[derive(Debug)]
pub(crate) struct Block {
    start: NonNull<u8>,
    layout: Layout,
    id: u64,
    door: Door,
    whose: Whose,
}

// SAFETY: a block belongs to whoever holds it, in whatever thread.
unsafe impl Send for Block {}

/// How a new block's bytes must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fresh {
    Any,
    Zero(Care),
}

/// What became of a request for another size.
#[must_use]
#[derive(Debug)]
pub(crate) enum Resized {
    Done(Block),
    /// There was no memory; the block is as before.
    Refused(Block),
}

impl Block {
    /// Asks for a block. None where null was an ordinary answer.
    pub(crate) fn allocate(
        layout: Layout,
        id: u64,
        fresh: Fresh,
        clock: &mut impl Clock,
    ) -> Result<Option<Self>, Damage> {
        let before = Moment::now();
        let whose = Whose::of(id);
        let ((answer, door), whose) = match fresh {
            Fresh::Any => clock.around(Call::Allocate, layout, || whose.ask(|| door::allocate(layout, id))),
            Fresh::Zero(_) => {
                clock.around(Call::AllocateZeroed, layout, || whose.ask(|| door::allocate_zeroed(layout, id)))
            }
        };
        let Some(start) = NonNull::new(answer) else { return refused(before, layout).map(|()| None) };
        let block = Self { start, layout, id, door, whose };
        whose.count(layout.size());
        block.check_place()?;
        if let Fresh::Zero(care) = fresh {
            block.check_zero(care)?;
        }
        block.fill();
        Ok(Some(block))
    }

    /// Asks for the block to have `size` bytes, under a new id.
    pub(crate) fn resize(self, size: usize, id: u64, clock: &mut impl Clock) -> Result<Resized, Damage> {
        self.check()?;
        let Ok(layout) = Layout::from_size_align(size, self.layout.align()) else {
            return Ok(Resized::Refused(self));
        };
        let before = Moment::now();
        ranges::remove(self.start.addr().get(), self.layout.size());
        let answer = clock.around(Call::Reallocate, layout, || {
            // SAFETY: the block is live, of this layout, and the new size neither zero nor too
            // large.
            let ask = || unsafe { self.door.reallocate(self.start, self.layout, size) };
            // In its group: a block that is copied is the thread's.
            self.whose.ask_again(ask).unwrap_or(ptr::null_mut())
        });
        let Some(start) = NonNull::new(answer) else {
            refused(before, layout)?;
            // The old block must be there still, whole.
            self.check_place()?;
            self.check()?;
            return Ok(Resized::Refused(self));
        };
        let resized = Self { start, layout, id, door: self.door, whose: self.whose };
        self.whose.uncount(self.layout.size());
        self.whose.count(size);
        resized.check_place()?;
        let kept = self.layout.size().min(size);
        // SAFETY: the new block is ours, and has its first bytes from the old one.
        unsafe { Pattern::new(self.id).check(start.as_ptr(), self.layout.size(), kept) }
            .map_err(|mismatch| Damage::Moved { from: self.holder(), to: resized.holder(), mismatch })?;
        resized.fill();
        Ok(Resized::Done(resized))
    }

    /// Gives the block back, after a last look. Its size, for the budget.
    pub(crate) fn free(self, clock: &mut impl Clock) -> Result<usize, Damage> {
        self.check()?;
        ranges::remove(self.start.addr().get(), self.layout.size());
        clock.around(Call::Free, self.layout, || {
            // SAFETY: the block is live, of this layout, and forgotten hereby.
            unsafe { self.door.free(self.start, self.layout) }
        });
        self.whose.uncount(self.layout.size());
        Ok(self.layout.size())
    }

    /// Looks whether the block still holds its pattern.
    pub(crate) fn check(&self) -> Result<(), Damage> {
        let size = self.layout.size();
        // SAFETY: the block is live and was filled at this size.
        unsafe { Pattern::new(self.id).check(self.start.as_ptr(), size, size) }
            .map_err(|mismatch| Damage::Contents { block: self.holder(), mismatch })
    }

    /// Writes a byte that does not belong there: what a bug of the allocator would look like.
    pub(crate) fn spoil(&self) {
        // SAFETY: a live block has at least one byte, and it was written.
        unsafe { self.start.write(!self.start.read()) };
    }

    fn fill(&self) {
        // SAFETY: the block is live, ours, and at least this long.
        unsafe { Pattern::new(self.id).fill(self.start.as_ptr(), self.layout.size()) };
    }

    fn check_place(&self) -> Result<(), Damage> {
        let address = self.start.addr().get();
        if !address.is_multiple_of(self.layout.align()) {
            return Err(Damage::Misaligned { block: self.holder() });
        }
        if let Some(usable) = self.door.usable_size(self.start)
            && usable < self.layout.size()
        {
            return Err(Damage::Short { block: self.holder(), usable });
        }
        ranges::insert(address, self.layout.size()).map_err(|(start, bytes)| Damage::Overlap {
            block: self.holder(),
            start,
            bytes,
        })
    }

    fn check_zero(&self, care: Care) -> Result<(), Damage> {
        // SAFETY: the block is live, and its bytes were asked to be zero.
        match unsafe { pattern::find_non_zero(self.start.as_ptr(), self.layout.size(), care) } {
            None => Ok(()),
            Some((offset, found)) => Err(Damage::NotZero { block: self.holder(), offset, found }),
        }
    }

    pub(crate) fn size(&self) -> usize {
        self.layout.size()
    }

    /// What the allocator may count for the block at most: an eighth more than its size, rounded
    /// up to its alignment, for a size class; for a mapping that is more than an OS page.
    pub(crate) fn most_bytes(&self) -> usize {
        // Without a layout a block may stay longer than was asked for.
        if let Some(bytes) = self.door.block_bytes(self.start) {
            return bytes;
        }
        /// The longest OS page, and the greatest alignment that a size class gives.
        const PAGE: usize = 64 << 10;
        if self.layout.align() > PAGE {
            return self.layout.size() + PAGE;
        }
        /// What the `secure` build adds to a block.
        const SEAL: usize = if cfg!(feature = "secure") { 8 } else { 0 };
        let padded = (self.layout.size() + SEAL).next_multiple_of(self.layout.align());
        padded + (padded / 8).max(16)
    }

    pub(crate) fn align(&self) -> usize {
        self.layout.align()
    }

    fn holder(&self) -> Holder {
        Holder { address: self.start.addr().get(), layout: self.layout, id: self.id }
    }
}

/// Whether null is an ordinary answer here.
fn refused(before: Moment, layout: Layout) -> Result<(), Damage> {
    if before.explains_null() { Ok(()) } else { Err(Damage::Refused { layout }) }
}
