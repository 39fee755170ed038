//! The floor: an allocator that does next to nothing. A thread takes blocks from
//! the front of its own piece of memory; a block is given back only when it is
//! the newest. No peer: it runs out of room where programs run on, and says so.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::process::ExitCode;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use freestone_versus::task::EXIT_SKIPPED;

#[global_allocator]
static ALLOCATOR: Bump = Bump;

struct Bump;

/// What a thread takes from the kernel at once: address space, not memory.
const PIECE: usize = 64 << 20;

/// What all threads may take together. More would push out what else is running.
const ROOM: usize = 6 << 30;

/// What has been taken.
static TAKEN: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The next free byte of this thread's piece, and the byte after its end.
    static NEXT: Cell<(*mut u8, *mut u8)> = const { Cell::new((ptr::null_mut(), ptr::null_mut())) };
}

// SAFETY: each block lies in memory that no other block has.
unsafe impl GlobalAlloc for Bump {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (next, end) = NEXT.get();
        let padding = next.align_offset(layout.align());
        match padding.checked_add(layout.size()) {
            Some(need) if need <= end.addr() - next.addr() => {
                // SAFETY: the block ends within the piece.
                let block = unsafe { next.add(padding) };
                // SAFETY: as above.
                NEXT.set((unsafe { block.add(layout.size()) }, end));
                block
            }
            _ => alloc_slow(layout),
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let (next, end) = NEXT.get();
        if block.addr() + layout.size() == next.addr() {
            NEXT.set((block, end));
        }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let (next, end) = NEXT.get();
        if block.addr() + layout.size() == next.addr() && size <= end.addr() - block.addr() {
            // SAFETY: the newest block grows or shrinks within the piece.
            NEXT.set((unsafe { block.add(size) }, end));
            return block;
        }
        // SAFETY: the caller says that `size` is legal for this alignment.
        let new = unsafe { self.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
        // SAFETY: both blocks are live, apart, and as long as what is copied.
        unsafe { ptr::copy_nonoverlapping(block, new, size.min(layout.size())) };
        // SAFETY: the old block is given up here.
        unsafe { self.dealloc(block, layout) };
        new
    }
}

/// Takes a new piece; ends the process when there is no room for one.
#[cold]
#[inline(never)]
fn alloc_slow(layout: Layout) -> *mut u8 {
    let length = (layout.size() + layout.align()).max(PIECE);
    if TAKEN.fetch_add(length, Ordering::Relaxed) + length > ROOM {
        leave();
    }
    // SAFETY: a new private mapping touches nothing that exists.
    let piece = unsafe {
        libc::mmap(
            ptr::null_mut(),
            length,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    if piece == libc::MAP_FAILED {
        leave();
    }
    let piece = piece.cast::<u8>();
    // SAFETY: one past the end of the mapping.
    NEXT.set((piece, unsafe { piece.add(length) }));
    // SAFETY: the layout is the caller's own.
    unsafe { ALLOCATOR.alloc(layout) }
}

/// Ends the process: skipped, not failed.
fn leave() -> ! {
    // SAFETY: ends the process without running anything that could allocate.
    unsafe { libc::_exit(EXIT_SKIPPED.into()) }
}

/// What never frees has nothing to give back.
fn purge() {}

fn main() -> ExitCode {
    freestone_versus::peer::main(purge)
}
