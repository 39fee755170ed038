//! Every size and alignment: blocks are aligned, as long as asked for, and apart from each
//! other; what cannot be had is a null pointer.

mod common;

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc};
use std::collections::VecDeque;
use std::hint::black_box;
use std::panic;

use common::block::{Block, layout};
use common::{GIB, KIB, LARGEST_SMALL, LARGEST_SMALL_ALIGN, MIB, border_sizes};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

/// Live blocks at any time, so that neighbours are there to be overlapped.
const WINDOW: usize = 8;

/// A block marked at its ends only: filling every block of every size would take minutes.
struct Marked {
    start: *mut u8,
    layout: Layout,
}

impl Marked {
    fn new(layout: Layout) -> Self {
        // SAFETY: no caller asks for size zero.
        let start = unsafe { alloc(layout) };
        assert!(!start.is_null(), "no memory for {layout:?}");
        assert_eq!(start.addr() % layout.align(), 0, "{layout:?} at {start:p}");
        let marked = Self { start, layout };
        // SAFETY: the first and the last byte of a live block.
        unsafe { (start.write(marked.mark()), marked.last().write(marked.mark())) };
        marked
    }

    fn last(&self) -> *mut u8 {
        self.start.wrapping_add(self.layout.size() - 1)
    }

    fn mark(&self) -> u8 {
        (self.layout.size() ^ (self.start.addr() >> 3)) as u8
    }
}

impl Drop for Marked {
    fn drop(&mut self) {
        // SAFETY: the first and the last byte of a live block, both written.
        let ends = unsafe { (self.start.read(), self.last().read()) };
        // SAFETY: the block is live with this layout.
        unsafe { dealloc(self.start, self.layout) };
        assert_eq!(
            ends,
            (self.mark(), self.mark()),
            "{:?} at {:p} was written over",
            self.layout,
            self.start
        );
    }
}

/// Allocates each of `sizes`, with a few of those before it still live.
fn each_of(sizes: impl Iterator<Item = usize>, align: usize) {
    let mut window = VecDeque::with_capacity(WINDOW);
    for size in sizes {
        if window.len() == WINDOW {
            window.pop_front();
        }
        window.push_back(Marked::new(layout(size, align)));
    }
}

fn aligns(most: usize) -> impl Iterator<Item = usize> {
    (0..=most.ilog2()).map(|log2| 1 << log2)
}

#[test]
fn every_size_to_the_border() {
    each_of(1..=LARGEST_SMALL, 1);
}

#[test]
fn every_size_to_64_kib_at_every_small_alignment() {
    for align in aligns(LARGEST_SMALL_ALIGN) {
        each_of(1..=64 * KIB, align);
    }
}

#[test]
fn a_dense_sample_to_the_border_at_every_small_alignment() {
    for align in aligns(LARGEST_SMALL_ALIGN) {
        each_of((64 * KIB..=LARGEST_SMALL).step_by(509).chain(border_sizes(LARGEST_SMALL)), align);
    }
}

#[test]
fn a_sample_beyond() {
    for align in aligns(GIB) {
        for size in [1, 4095, 4097, MIB - 1, MIB, MIB + 1, 3 * MIB + 5] {
            each_of([size; 3].into_iter(), align);
        }
    }
    each_of([40 * MIB, 100 * MIB + 1, GIB].into_iter(), 1);
}

#[test]
fn blocks_are_wholly_usable() {
    for align in aligns(LARGEST_SMALL_ALIGN).chain([MIB]) {
        let blocks = border_sizes(2 * MIB).into_iter().filter(|size| size % 3 != 1);
        drop(blocks.map(|size| Block::new(layout(size, align), size)).collect::<Vec<_>>());
    }
}

/// Asks for what no machine has.
fn is_refused(layout: Layout) {
    // SAFETY: the size is not zero. Hidden from the optimiser, which may drop unused blocks.
    let (plain, zeroed) = unsafe { (black_box(alloc(layout)), black_box(alloc_zeroed(layout))) };
    assert!(plain.is_null() && zeroed.is_null(), "{layout:?}");
    let mut block = Block::new(Layout::from_size_align(1, layout.align()).expect("a valid layout"), 1);
    assert!(!block.try_resize(layout.size()), "{layout:?}");
}

#[test]
fn impossible_sizes_are_null() {
    for align in aligns(GIB) {
        let most = isize::MAX as usize + 1 - align;
        for size in [most, most - 1, most - 4097, most / 2, 1 << 57] {
            is_refused(layout(size, align));
        }
    }
}

#[test]
fn impossible_alignments_are_null() {
    for log2 in [57, 60, 62] {
        for size in [1, MIB] {
            let layout = layout(size, 1 << log2);
            // SAFETY: the size is not zero.
            assert!(unsafe { black_box(alloc(layout)) }.is_null(), "{layout:?}");
        }
    }
}

/// A panic's object is a block of its own, which LLVM's unwinder on x86-64 takes to be aligned to
/// 16 bytes. The standard library has asked for less.
#[test]
fn panics_unwind_wherever_their_object_lies() {
    panic::set_hook(Box::new(|_| ()));
    let mut neighbours = Vec::new();
    for number in 0..200_usize {
        let caught = panic::catch_unwind(|| panic::panic_any(number)).expect_err("it panics");
        assert_eq!(caught.downcast_ref(), Some(&number));
        // The next object lies elsewhere.
        neighbours.push(Box::new([number; 7]));
    }
    let _ = panic::take_hook();
}
