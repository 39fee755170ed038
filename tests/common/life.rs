//! One life of a program that reaches every call to the kernel, and what must be true after it,
//! whichever of those calls were refused.

use std::alloc::{alloc, dealloc};
use std::thread;

use super::block::{Block, layout};
use super::memory::mapped;
use super::{KIB, LARGEST_SMALL, MIB, border_sizes};

/// No call sets this one.
const MARK: libc::c_int = 4711;

/// Blocks that live at the same time, at most: noted in memory that was there before.
const NOTES: usize = 1500;

fn errno() -> *mut libc::c_int {
    // SAFETY: no preconditions; the address is this thread's own.
    unsafe { libc::__errno_location() }
}

/// Frees a block after a look at its contents; `errno` stays.
pub(crate) fn free(block: Block) {
    let layout = block.layout();
    // SAFETY: errno is this thread's own.
    unsafe { *errno() = MARK };
    drop(block);
    // SAFETY: as above.
    assert_eq!(unsafe { *errno() }, MARK, "errno after the free of {layout:?}");
}

/// Live blocks, in memory that is never short.
pub(crate) struct Live(Vec<Block>);

impl Live {
    pub(crate) fn new() -> Self {
        // What blocks are filled with is made at the first one.
        drop(Block::new(layout(1, 1), 0));
        Self(Vec::with_capacity(NOTES))
    }

    fn put(&mut self, block: Option<Block>) {
        if let Some(block) = block {
            assert!(self.0.len() < NOTES, "too many blocks for the notes");
            self.0.push(block);
        }
    }

    fn free_every(&mut self, step: usize) {
        let mut at = self.0.len();
        while at > 0 {
            at -= 1;
            if at.is_multiple_of(step) {
                free(self.0.swap_remove(at));
            }
        }
    }

    /// Small and large blocks, grown, shrunk, freed, zeroed, purged. Where there is no memory
    /// there is no block; what there is keeps its contents.
    pub(crate) fn run(&mut self) {
        // Chunks, whole and short, and more than one.
        for size in border_sizes(LARGEST_SMALL).into_iter().step_by(7) {
            self.put(Block::try_new(layout(size, 1), size));
            self.put(Block::try_zeroed(layout(size, 64), size));
        }
        self.free_every(2);
        untouched_mappings();
        self.put(Block::try_zeroed(layout(2 * MIB, 1), 1));
        freestone::purge();
        // Growth in place, elsewhere, aligned, into huge pages, and back.
        for (size, align) in [(MIB + 1, 1), (2 * MIB, 2 * MIB), (100 * KIB, 128 * KIB), (7 * MIB, 1)] {
            let Some(mut block) = Block::try_new(layout(size, align), size) else { continue };
            let neighbour = Block::try_new(layout(size, 1), 3);
            for new in [size + MIB, 8 * MIB, size / 2, size] {
                let before = block.size();
                if !block.try_resize(new) {
                    assert_eq!(block.size(), before);
                    block.check();
                }
            }
            self.put(neighbour);
            free(block);
            self.put(Block::try_zeroed(layout(size, align), 5));
        }
        self.0.iter().for_each(Block::check);
        freestone::purge();
        self.0.iter().for_each(Block::check);
        self.free_every(1);
        freestone::purge();
    }
}

/// More mappings than the registry's first table has places for, and than wait for reuse.
fn untouched_mappings() {
    let layouts: [_; 70] = std::array::from_fn(|number| layout(MIB + 1 + number * 4 * KIB, 1));
    // SAFETY: no size is zero.
    let starts = layouts.map(|layout| unsafe { alloc(layout) });
    // SAFETY: errno is this thread's own.
    unsafe { *errno() = MARK };
    for (start, layout) in starts.into_iter().zip(layouts).filter(|(start, _)| !start.is_null()) {
        // SAFETY: the block is live with this layout.
        unsafe { dealloc(start, layout) };
    }
    // SAFETY: as above.
    assert_eq!(unsafe { *errno() }, MARK, "errno after the frees of mappings");
}

/// A block of every class and of large sizes, zeroed, filled, and grown: full service.
pub(crate) fn full_service() {
    for size in border_sizes(LARGEST_SMALL).into_iter().step_by(3).chain([MIB + 1, 5 * MIB, 9 * MIB]) {
        let mut block = Block::zeroed(layout(size, 1), 1);
        block.resize(size + size / 2 + 1);
        free(block);
        free(Block::new(layout(size, 128 * KIB), 2));
    }
}

/// What a process has while it holds nothing but its notes.
#[derive(Clone, Copy)]
pub(crate) struct Baseline {
    /// Bytes of address space.
    pub(crate) mapped: usize,
    /// Bytes of large allocations.
    pub(crate) large: usize,
}

impl Baseline {
    pub(crate) fn now() -> Self {
        freestone::purge();
        Self { mapped: mapped(), large: freestone::stats().large }
    }
}

/// Full service now, none of the address space gone, and books that say so.
pub(crate) fn recovered(before: Baseline) {
    full_service();
    let after = Baseline::now();
    let stats = freestone::stats();
    assert!(
        after.mapped <= before.mapped,
        "{} bytes of address space before, {} after: {stats}",
        before.mapped,
        after.mapped
    );
    assert_eq!((stats.retained, after.large, stats.lost_total), (0, before.large, 0));
}

/// Runs `work` in `count` threads that are there before `when_ready` is called.
pub(crate) fn in_threads(count: usize, work: impl Fn(usize) + Sync, when_ready: impl FnOnce()) {
    let barrier = std::sync::Barrier::new(count + 1);
    thread::scope(|scope| {
        for number in 0..count {
            let (barrier, work) = (&barrier, &work);
            scope.spawn(move || {
                barrier.wait();
                barrier.wait();
                work(number);
            });
        }
        barrier.wait();
        when_ready();
        barrier.wait();
    });
}
