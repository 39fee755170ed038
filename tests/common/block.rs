//! A block that knows what it must contain.

use std::alloc::Layout;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::{slice, thread};

use super::source::{Global, Source};

/// Bytes of the pattern: a prime, so that bytes moved by a whole number of words or pages
/// never look right.
const PATTERN_BYTES: usize = 65_537;

fn pattern() -> &'static [u8] {
    static PATTERN: OnceLock<Vec<u8>> = OnceLock::new();
    PATTERN.get_or_init(|| {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        std::iter::repeat_with(next).take(PATTERN_BYTES).collect()
    })
}

/// A live block from `S`, filled with the pattern from a place that its tag decides. Checked and
/// freed when dropped.
pub(crate) struct Filled<S: Source> {
    source: S,
    start: NonNull<u8>,
    layout: Layout,
    tag: usize,
}

/// A block from the global allocator.
pub(crate) type Block = Filled<Global>;

// SAFETY: a block is memory that only its holder touches, and its source may be asked by any
// thread.
unsafe impl<S: Source + Send> Send for Filled<S> {}

pub(crate) fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("a valid layout")
}

impl Block {
    /// A filled block. None where there is no memory.
    pub(crate) fn try_new(layout: Layout, tag: usize) -> Option<Self> {
        Self::try_new_in(Global, layout, tag)
    }

    /// A filled block, after it was seen to be zero.
    pub(crate) fn try_zeroed(layout: Layout, tag: usize) -> Option<Self> {
        Self::try_zeroed_in(Global, layout, tag)
    }

    pub(crate) fn new(layout: Layout, tag: usize) -> Self {
        Self::try_new(layout, tag).unwrap_or_else(|| panic!("no memory for {layout:?}"))
    }

    pub(crate) fn zeroed(layout: Layout, tag: usize) -> Self {
        Self::try_zeroed(layout, tag).unwrap_or_else(|| panic!("no memory for {layout:?}"))
    }
}

impl<S: Source> Filled<S> {
    pub(crate) fn try_new_in(source: S, layout: Layout, tag: usize) -> Option<Self> {
        Some(Self::adopt(source, source.allocate(layout)?, layout, tag))
    }

    pub(crate) fn try_zeroed_in(source: S, layout: Layout, tag: usize) -> Option<Self> {
        let start = source.allocate_zeroed(layout)?;
        // SAFETY: the block was just allocated with this size, and zeroed bytes are initialised.
        let bytes = unsafe { slice::from_raw_parts(start.as_ptr(), layout.size()) };
        assert!(is_zero(bytes), "{layout:?} at {start:p} is not zero");
        Some(Self::adopt(source, start, layout, tag))
    }

    fn adopt(source: S, start: NonNull<u8>, layout: Layout, tag: usize) -> Self {
        let mut block = Self { source, start, layout, tag };
        block.check_alignment();
        block.fill(0);
        block
    }

    fn check_alignment(&self) {
        assert_eq!(self.address() % self.layout.align(), 0, "{:?} at {:p}", self.layout, self.start);
    }

    pub(crate) fn address(&self) -> usize {
        self.start.addr().get()
    }

    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    pub(crate) fn size(&self) -> usize {
        self.layout.size()
    }

    /// Resizes the block: what both sizes have keeps its contents, the rest is filled. False,
    /// with the block as it was, where there is no memory.
    pub(crate) fn try_resize(&mut self, size: usize) -> bool {
        assert_ne!(size, 0);
        let new = layout(size, self.layout.align());
        // SAFETY: the block is live with this layout, and the new size makes a valid one.
        let Some(start) = (unsafe { self.source.reallocate(self.start, self.layout, size) }) else {
            return false;
        };
        let kept = self.layout.size().min(size);
        (self.start, self.layout) = (start, new);
        self.check_alignment();
        self.check_first(kept);
        self.fill(kept);
        true
    }

    pub(crate) fn resize(&mut self, size: usize) {
        assert!(self.try_resize(size), "no memory to resize {:?} to {size}", self.layout);
    }

    /// Fails unless every byte is what was written.
    pub(crate) fn check(&self) {
        self.check_first(self.size());
    }

    fn check_first(&self, bytes: usize) {
        // SAFETY: the block is live, and all of it was filled.
        let bytes = unsafe { slice::from_raw_parts(self.start.as_ptr(), bytes) };
        let mut rest = bytes;
        let mut from = self.tag % PATTERN_BYTES;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(PATTERN_BYTES - from));
            if piece != &pattern()[from..from + piece.len()] {
                panic!("contents of {:?} at {:p} were lost", self.layout, self.start);
            }
            (rest, from) = (after, 0);
        }
    }

    /// Fills the block from `at` to its end.
    fn fill(&mut self, mut at: usize) {
        while at < self.size() {
            let from = (self.tag + at) % PATTERN_BYTES;
            let piece = &pattern()[from..];
            let bytes = piece.len().min(self.size() - at);
            // SAFETY: `at` to `at + bytes` lies in the block, which is live and this holder's.
            unsafe { self.start.byte_add(at).copy_from_nonoverlapping(NonNull::from(piece).cast(), bytes) };
            at += bytes;
        }
    }
}

impl<S: Source> Drop for Filled<S> {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.check();
        }
        // SAFETY: the block is live with this layout, and its only holder is going.
        unsafe { self.source.deallocate(self.start, self.layout) }
    }
}

/// Whether all of `bytes` is zero, at the speed of `memcmp` also in debug builds.
fn is_zero(bytes: &[u8]) -> bool {
    match bytes {
        [] => true,
        [first, rest @ ..] => *first == 0 && rest == &bytes[..rest.len()],
    }
}
