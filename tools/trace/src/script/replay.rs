//! A script done by the calling process, on whatever its global allocator is.

use std::alloc::{self, Layout};
use std::ffi::c_void;
use std::hint::black_box;
use std::io;
use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{MmapMut, MmapOptions};

use super::layout::{Action, Operation, Script};
use super::{Touch, threads};

/// Bytes that [`Touch::First`] touches.
const LINE: usize = 64;

/// What a replay did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Bytes that were live when the script ended.
    pub end_bytes: u64,
    /// The most that were live at a time; none where threads were free in their order.
    pub peak_bytes: Option<u64>,
}

/// A block while it is live.
#[derive(Clone, Copy)]
#[repr(C)]
struct Slot {
    block: *mut u8,
    size: usize,
    align_log2: usize,
    unused: usize,
}

/// What a thread needs, and what the others see of it, on cache lines of its own.
#[repr(C, align(128))]
struct Actor {
    stage: *const c_void,
    number: usize,
    /// Operations done, as far as someone waits for them.
    done: AtomicU64,
    /// Bytes allocated less those freed, which may be negative.
    live: AtomicU64,
    peak: AtomicU64,
}

/// Everything that a replay needs besides the script, mapped and touched: nothing of it is asked of
/// the allocator, and nothing of it counts as growth.
#[derive(Debug)]
pub struct Stage<'a> {
    script: &'a Script,
    slots: MmapMut,
    actors: MmapMut,
    touch: Touch,
    finished: AtomicU64,
    /// The maps hold pointers.
    not_send: PhantomData<*mut u8>,
}

impl<'a> Stage<'a> {
    /// A stage for `script`.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn new(script: &'a Script, touch: Touch) -> io::Result<Self> {
        let zeroed = |bytes: usize| MmapOptions::new().len(bytes.max(1)).populate().map_anon();
        Ok(Self {
            script,
            slots: zeroed(script.head().slots as usize * size_of::<Slot>())?,
            actors: zeroed(script.threads() * size_of::<Actor>())?,
            touch,
            finished: AtomicU64::new(0),
            not_send: PhantomData,
        })
    }

    /// Does the script once, and then frees what it left.
    ///
    /// # Panics
    /// Panics if a thread cannot be started. Ends the process if there is no memory for a block.
    pub fn replay(&mut self) -> Totals {
        let actors = self.actors.as_mut_ptr().cast::<Actor>();
        for number in 0..self.script.threads() {
            let stage = ptr::from_ref(&*self).cast();
            let new = Actor {
                stage,
                number,
                done: AtomicU64::new(0),
                live: AtomicU64::new(0),
                peak: AtomicU64::new(0),
            };
            // SAFETY: the map has room for an actor of each thread, and no thread runs.
            unsafe { actors.add(number).write(new) };
        }
        self.finished.store(0, Ordering::Relaxed);
        self.act(0);
        let others = self.script.threads() as u64 - 1;
        threads::wait_until(|| self.finished.load(Ordering::Acquire) == others);
        let totals = self.totals();
        self.free_the_rest();
        totals
    }

    fn totals(&self) -> Totals {
        let all = (0..self.script.threads()).map(|number| self.actor(number));
        let end_bytes = all.fold(0_u64, |sum, actor| sum.wrapping_add(actor.live.load(Ordering::Relaxed)));
        let peak = self.actor(0).peak.load(Ordering::Relaxed);
        Totals { end_bytes, peak_bytes: (self.script.threads() == 1).then_some(peak) }
    }

    fn free_the_rest(&mut self) {
        for number in 0..self.script.head().slots {
            let slot = self.slot(number);
            // SAFETY: no thread runs, and the slot is in the map.
            let old =
                unsafe { slot.replace(Slot { block: ptr::null_mut(), size: 0, align_log2: 0, unused: 0 }) };
            if !old.block.is_null() {
                // SAFETY: the slot's block is live, and of this layout.
                unsafe { alloc::dealloc(old.block, layout(old.size, old.align_log2)) };
            }
        }
    }

    fn actor(&self, number: usize) -> &Actor {
        debug_assert!(number < self.script.threads());
        // SAFETY: `replay` has written an actor for each thread.
        unsafe { &*self.actors.as_ptr().cast::<Actor>().add(number) }
    }

    /// A slot of the map. It is used by one thread at a time: the script has the others wait.
    fn slot(&self, number: u32) -> *mut Slot {
        debug_assert!(number < self.script.head().slots);
        // SAFETY: the script's slots are in the map.
        unsafe { self.slots.as_ptr().cast_mut().cast::<Slot>().add(number as usize) }
    }

    /// Does one thread's operations.
    fn act(&self, number: usize) {
        let actor = self.actor(number);
        let (mut live, mut peak) = (0_u64, 0_u64);
        for (place, operation) in self.script.operations(number).iter().enumerate() {
            live = live.wrapping_add(self.operate(operation));
            // A thread that frees what others made is below zero.
            peak = peak.max(if (live as i64) < 0 { 0 } else { live });
            if operation.awaited {
                actor.done.store(place as u64 + 1, Ordering::Release);
            }
        }
        actor.live.store(live, Ordering::Relaxed);
        actor.peak.store(peak, Ordering::Relaxed);
        actor.done.store(u64::MAX, Ordering::Release);
    }

    /// Does one operation. Returns by how much the live bytes have changed.
    #[inline(always)]
    fn operate(&self, operation: &Operation) -> u64 {
        match operation.action {
            Action::Allocate | Action::Zeroed => self.allocate(operation),
            Action::Resize => self.resize(operation),
            Action::Free => self.free(operation),
            Action::Wait => {
                let other = self.actor(operation.slot as usize);
                threads::wait_until(|| other.done.load(Ordering::Acquire) >= operation.size);
                0
            }
            Action::Start => {
                let actor = ptr::from_ref(self.actor(operation.slot as usize)).cast_mut().cast();
                // SAFETY: the actor and its stage stay until every thread has finished.
                unsafe { threads::start(act, actor) }.expect("a thread starts");
                0
            }
        }
    }

    #[inline(always)]
    fn allocate(&self, operation: &Operation) -> u64 {
        let size = operation.size as usize;
        let align_log2 = usize::from(operation.align_log2);
        let layout = layout(size, align_log2);
        // SAFETY: the layout has at least one byte.
        let block = unsafe {
            if operation.action == Action::Zeroed {
                alloc::alloc_zeroed(layout)
            } else {
                alloc::alloc(layout)
            }
        };
        if block.is_null() {
            alloc::handle_alloc_error(layout);
        }
        self.write(block, 0, layout.size());
        // SAFETY: the slot is in the map, and this thread's now.
        unsafe { self.slot(operation.slot).write(Slot { block, size, align_log2, unused: 0 }) };
        operation.size
    }

    #[inline(always)]
    fn resize(&self, operation: &Operation) -> u64 {
        let slot = self.slot(operation.slot);
        // SAFETY: the slot holds a live block, and is this thread's now.
        let old = unsafe { slot.read() };
        let (before, after) =
            (layout(old.size, old.align_log2), layout(operation.size as usize, old.align_log2));
        // SAFETY: the block is live and of that layout; the new size is at least one.
        let block = unsafe { alloc::realloc(old.block, before, after.size()) };
        if block.is_null() {
            alloc::handle_alloc_error(after);
        }
        if after.size() > before.size() {
            self.write(block, before.size(), after.size());
        }
        // SAFETY: as above.
        unsafe { slot.write(Slot { block, size: operation.size as usize, ..old }) };
        operation.size.wrapping_sub(old.size as u64)
    }

    #[inline(always)]
    fn free(&self, operation: &Operation) -> u64 {
        let slot = self.slot(operation.slot);
        // SAFETY: the slot holds a live block, and is this thread's now.
        let old = unsafe { slot.read() };
        let layout = layout(old.size, old.align_log2);
        self.read(old.block, layout.size());
        // SAFETY: the block is live, and of that layout; the slot forgets it.
        unsafe {
            (*slot).block = ptr::null_mut();
            alloc::dealloc(old.block, layout);
        }
        0_u64.wrapping_sub(old.size as u64)
    }

    /// Writes what is to be written of bytes `from` to `to` of a block.
    #[inline(always)]
    fn write(&self, block: *mut u8, from: usize, to: usize) {
        let to = match self.touch {
            Touch::None => return,
            Touch::First => to.min(LINE),
            Touch::All => to,
        };
        if from < to {
            // SAFETY: the block has `to` bytes.
            unsafe { block.add(from).write_bytes(1, to - from) };
            black_box(block);
        }
    }

    /// Reads a byte of each cache line that was written.
    #[inline(always)]
    fn read(&self, block: *mut u8, size: usize) {
        let end = match self.touch {
            Touch::None => return,
            Touch::First => 1,
            Touch::All => size,
        };
        let mut sum = 0_u8;
        for place in (0..end).step_by(LINE) {
            // SAFETY: the place lies in the block, and was written.
            sum = sum.wrapping_add(unsafe { block.add(place).read() });
        }
        black_box(sum);
    }
}

/// The layout of a block: no block is empty.
#[inline(always)]
fn layout(size: usize, align_log2: usize) -> Layout {
    Layout::from_size_align(size.max(1), 1 << align_log2).expect("recordings have legal layouts")
}

/// The main of a script's threads but the first.
extern "C" fn act(actor: *mut c_void) -> *mut c_void {
    // SAFETY: `operate` passes an actor that stays until this thread has finished.
    let actor = unsafe { &*actor.cast::<Actor>() };
    // SAFETY: as above, for its stage.
    let stage = unsafe { &*actor.stage.cast::<Stage>() };
    stage.act(actor.number);
    stage.finished.fetch_add(1, Ordering::Release);
    ptr::null_mut()
}
