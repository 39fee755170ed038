//! The two allocators compared.
//!
//! Imitates how a program reaches its global allocator: a call that is never inlined, behind which
//! the allocator's own code may be inlined as it likes. Neither side sees a constant layout.

use std::alloc::{GlobalAlloc, Layout, System, handle_alloc_error};
use std::fmt;
use std::hint::black_box;
use std::ptr::NonNull;

use freestone::Freestone;

static FREESTONE: Freestone = Freestone::new();

static SIDES: [Side; 2] = [Side::of::<Freestone>(), Side::of::<System>()];

/// Both sides, in the order in which they are to run. Opaque, so that no call is resolved at
/// compile time.
pub(crate) fn sides() -> impl Iterator<Item = &'static Side> {
    SIDES.iter().map(black_box)
}

/// The layout of a block that holds something, aligned to 8 bytes as most of what programs hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape(Layout);

impl Shape {
    pub(crate) const fn of(bytes: usize) -> Self {
        assert!(bytes > 0, "what holds nothing is not allocated");
        match Layout::from_size_align(bytes, 8) {
            Ok(layout) => Self(layout),
            Err(_) => panic!("more than any machine has"),
        }
    }

    pub(crate) const fn bytes(self) -> usize {
        self.0.size()
    }
}

/// The size in the largest unit that divides it: `24B`, `4KiB`, `1MiB`.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const KIB: usize = 1 << 10;
        const MIB: usize = 1 << 20;
        match self.bytes() {
            bytes if bytes.is_multiple_of(MIB) => write!(f, "{}MiB", bytes / MIB),
            bytes if bytes.is_multiple_of(KIB) => write!(f, "{}KiB", bytes / KIB),
            bytes => write!(f, "{bytes}B"),
        }
    }
}

/// An allocator as a table of functions.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) name: &'static str,
    alloc: unsafe fn(Layout) -> *mut u8,
    alloc_zeroed: unsafe fn(Layout) -> *mut u8,
    realloc: unsafe fn(*mut u8, Layout, usize) -> *mut u8,
    dealloc: unsafe fn(*mut u8, Layout),
}

impl Side {
    const fn of<S: Subject>() -> Self {
        Self {
            name: S::NAME,
            alloc: alloc::<S>,
            alloc_zeroed: alloc_zeroed::<S>,
            realloc: realloc::<S>,
            dealloc: dealloc::<S>,
        }
    }

    /// A block of that shape, written to at its start: the least that a program does with one.
    #[inline]
    pub(crate) fn alloc(&self, shape: Shape) -> NonNull<u8> {
        // SAFETY: a shape's size is not 0.
        let start = unsafe { (self.alloc)(black_box(shape.0)) };
        first_write(start, shape)
    }

    /// As [`Side::alloc`], but the rest is zero.
    #[inline]
    pub(crate) fn alloc_zeroed(&self, shape: Shape) -> NonNull<u8> {
        // SAFETY: a shape's size is not 0.
        let start = unsafe { (self.alloc_zeroed)(black_box(shape.0)) };
        first_write(start, shape)
    }

    /// # Safety
    /// `start` is a live block of this side, of shape `old`; it is not used again.
    #[inline]
    pub(crate) unsafe fn realloc(&self, start: NonNull<u8>, old: Shape, new: Shape) -> NonNull<u8> {
        // SAFETY: the caller's promise; the new size is a shape's, so not 0 and not too large.
        let start = unsafe { (self.realloc)(start.as_ptr(), black_box(old.0), black_box(new.bytes())) };
        first_write(start, new)
    }

    /// # Safety
    /// `start` is a live block of this side, of that shape; it is not used again.
    #[inline]
    pub(crate) unsafe fn dealloc(&self, start: NonNull<u8>, shape: Shape) {
        // SAFETY: the caller's promise.
        unsafe { (self.dealloc)(start.as_ptr(), black_box(shape.0)) }
    }
}

/// Ends the program where there is no block.
#[inline]
fn first_write(start: *mut u8, shape: Shape) -> NonNull<u8> {
    let Some(start) = NonNull::new(start) else { handle_alloc_error(shape.0) };
    // SAFETY: a block just handed out, of one byte at least.
    unsafe { start.write(1) };
    start
}

/// An allocator with one instance for the program, so that each type gets functions of its own.
trait Subject: GlobalAlloc + 'static {
    const NAME: &'static str;
    fn instance() -> &'static Self;
}

impl Subject for Freestone {
    const NAME: &'static str = "freestone";
    fn instance() -> &'static Self {
        &FREESTONE
    }
}

impl Subject for System {
    const NAME: &'static str = "system";
    fn instance() -> &'static Self {
        &System
    }
}

#[inline(never)]
unsafe fn alloc<S: Subject>(layout: Layout) -> *mut u8 {
    // SAFETY: the caller's contract is the allocator's.
    unsafe { S::instance().alloc(layout) }
}

#[inline(never)]
unsafe fn alloc_zeroed<S: Subject>(layout: Layout) -> *mut u8 {
    // SAFETY: the caller's contract is the allocator's.
    unsafe { S::instance().alloc_zeroed(layout) }
}

#[inline(never)]
unsafe fn realloc<S: Subject>(start: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
    // SAFETY: the caller's contract is the allocator's.
    unsafe { S::instance().realloc(start, layout, new_size) }
}

#[inline(never)]
unsafe fn dealloc<S: Subject>(start: *mut u8, layout: Layout) {
    // SAFETY: the caller's contract is the allocator's.
    unsafe { S::instance().dealloc(start, layout) }
}
