//! The fuzz target: bytes become operations, every block is checked. Freestone is called by
//! name; the fuzzer's own memory is the system's.
#![no_main]

use std::alloc::{GlobalAlloc, Layout};
use std::thread;

use arbitrary::Arbitrary;
use freestone::{Freestone, untyped};
use libfuzzer_sys::fuzz_target;
use ranges::Ranges;

#[path = "../../tests/common/ranges.rs"]
mod ranges;

static DOOR: Freestone = Freestone::new();
/// Every live block, of whichever thread.
static LIVE: Ranges = Ranges::new();

/// Bytes live at a time.
const MOST_BYTES: usize = 64 << 20;

/// A size of any magnitude up to 16 MiB, from two bytes.
#[derive(Arbitrary, Clone, Copy, Debug)]
struct Size(u16);

impl Size {
    fn bytes(self) -> usize {
        let (log2, step) = (u32::from(self.0 >> 11) % 25, usize::from(self.0 & 0x7ff));
        ((1 << log2) + ((step << log2) >> 11)).clamp(1, 16 << 20)
    }
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Operation {
    Allocate { size: Size, align: u8, zeroed: bool, typed: bool },
    Many { size: Size, count: u8, typed: bool },
    Resize { pick: u8, size: Size },
    Free { pick: u8, untyped: bool },
    FreeMany { from: u8, count: u8, elsewhere: bool },
    Check { pick: u8 },
    Purge,
    Idle,
}

/// A live block. Which end of it says what: its number's low byte at both ends and in between.
struct Block {
    start: *mut u8,
    layout: Layout,
    typed: bool,
    tag: u8,
}

// SAFETY: a block belongs to whoever holds it.
unsafe impl Send for Block {}

impl Block {
    fn new(layout: Layout, zeroed: bool, typed: bool, tag: u8) -> Option<Self> {
        // SAFETY: the size is not zero.
        let start = unsafe {
            match (typed, zeroed) {
                (true, false) => DOOR.alloc(layout),
                (true, true) => DOOR.alloc_zeroed(layout),
                (false, false) => untyped::allocate_aligned(layout.size(), layout.align()),
                (false, true) => untyped::allocate_zeroed(layout.size(), layout.align()),
            }
        };
        if start.is_null() {
            return None;
        }
        assert_eq!(start.addr() % layout.align(), 0, "{layout:?} is misaligned");
        LIVE.insert(start.addr(), layout.size()).expect("no two blocks overlap");
        let block = Self { start, layout, typed, tag };
        if zeroed {
            block.each_byte(layout.size(), |byte| assert_eq!(byte, 0, "{layout:?} is not zero"));
        }
        block.fill();
        Some(block)
    }

    /// All of a short block, both ends and every page of a long one.
    fn places(size: usize) -> impl Iterator<Item = usize> {
        let step = if size <= 4096 { 1 } else { 4093 };
        (0..size).step_by(step).chain([size - 1])
    }

    fn each_byte(&self, size: usize, check: impl Fn(u8)) {
        for place in Self::places(size) {
            // SAFETY: the place lies in the block.
            check(unsafe { self.start.add(place).read() });
        }
    }

    fn fill(&self) {
        for place in Self::places(self.layout.size()) {
            // SAFETY: the place lies in the block.
            unsafe { self.start.add(place).write(self.tag) };
        }
    }

    fn check(&self) {
        self.each_byte(self.layout.size(), |byte| assert_eq!(byte, self.tag, "{:?} lost", self.layout));
        if !self.typed {
            // SAFETY: the block is live, and this holder's.
            assert!(unsafe { untyped::usable_size(self.start) } >= self.layout.size());
        }
    }

    fn resize(&mut self, size: usize) {
        self.check();
        let Ok(new) = Layout::from_size_align(size, self.layout.align()) else { return };
        // C keeps no alignment beyond its own.
        if !self.typed && new.align() > untyped::MIN_ALIGN {
            return;
        }
        LIVE.remove(self.start.addr()).expect("a live block is noted");
        // SAFETY: the block is live, and the size makes a layout.
        let start = unsafe {
            if self.typed {
                DOOR.realloc(self.start, self.layout, size)
            } else {
                untyped::reallocate(self.start, size)
            }
        };
        if start.is_null() {
            LIVE.insert(self.start.addr(), self.layout.size()).expect("the block is as it was");
            return;
        }
        LIVE.insert(start.addr(), size).expect("no two blocks overlap");
        // Only places that were written: all of what was short, else the first.
        let kept = if self.layout.size() <= 4096 { self.layout.size().min(size) } else { 1 };
        (self.start, self.layout) = (start, new);
        assert_eq!(start.addr() % new.align(), 0, "{new:?} is misaligned");
        self.each_byte(kept, |byte| assert_eq!(byte, self.tag, "{new:?} lost on the way"));
        self.fill();
    }

    fn free(self, through_untyped: bool) {
        self.check();
        LIVE.remove(self.start.addr()).expect("a live block is noted");
        // SAFETY: the block is live. Its address alone is enough for the untyped door.
        unsafe {
            if self.typed && !through_untyped {
                DOOR.dealloc(self.start, self.layout);
            } else {
                untyped::free(self.start);
            }
        }
    }
}

#[derive(Default)]
struct Program {
    blocks: Vec<Block>,
    bytes: usize,
    made: usize,
}

impl Program {
    fn put(&mut self, layout: Layout, zeroed: bool, typed: bool) {
        if self.bytes + layout.size() > MOST_BYTES {
            return;
        }
        self.made += 1;
        if let Some(block) = Block::new(layout, zeroed, typed, self.made as u8) {
            self.bytes += layout.size();
            self.blocks.push(block);
        }
    }

    fn take(&mut self, pick: u8) -> Option<Block> {
        let at = usize::from(pick).checked_rem(self.blocks.len())?;
        let block = self.blocks.swap_remove(at);
        self.bytes -= block.layout.size();
        Some(block)
    }

    fn run(&mut self, operation: Operation) {
        match operation {
            Operation::Allocate { size, align, zeroed, typed } => {
                // Alignments beyond a slab's own are rare.
                let align = 1 << if align < 240 { align % 8 } else { align % 22 };
                if let Ok(layout) = Layout::from_size_align(size.bytes(), align) {
                    self.put(layout, zeroed, typed);
                }
            }
            Operation::Many { size, count, typed } => {
                let layout = Layout::from_size_align(size.bytes(), 8).expect("a valid layout");
                (0..count).for_each(|_| self.put(layout, false, typed));
            }
            Operation::Resize { pick, size } => {
                let Some(mut block) = self.take(pick) else { return };
                if self.bytes + size.bytes() <= MOST_BYTES {
                    #[cfg(feature = "seeded-bug")]
                    if block.layout.align() == 64 && block.layout.size() > 5000 && size.bytes() < 40 {
                        // SAFETY: none. This is the bug.
                        unsafe { untyped::free(block.start) };
                        return block.free(true);
                    }
                    block.resize(size.bytes());
                }
                self.bytes += block.layout.size();
                self.blocks.push(block);
            }
            Operation::Free { pick, untyped } => {
                self.take(pick).into_iter().for_each(|block| block.free(untyped));
            }
            Operation::FreeMany { from, count, elsewhere } => {
                let blocks: Vec<Block> = (0..count).map_while(|_| self.take(from)).collect();
                let free = move || blocks.into_iter().for_each(|block| block.free(false));
                if elsewhere {
                    thread::spawn(free).join().expect("no block is lost");
                } else {
                    free();
                }
            }
            Operation::Check { pick } => {
                if let Some(at) = usize::from(pick).checked_rem(self.blocks.len()) {
                    self.blocks[at].check();
                }
            }
            Operation::Purge => {
                freestone::purge();
            }
            Operation::Idle => freestone::thread_idle(),
        }
    }
}

fuzz_target!(|operations: Vec<Operation>| {
    let mut program = Program::default();
    operations.into_iter().for_each(|operation| program.run(operation));
    program.blocks.drain(..).for_each(|block| block.free(false));
});
