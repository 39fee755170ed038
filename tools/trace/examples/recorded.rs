//! A program that can record itself:
//! `freestone-trace record --built-in -- target/debug/examples/recorded`.

use std::alloc::{self, Layout, System};
use std::thread;

use freestone_trace::Recorder;

#[global_allocator]
static ALLOC: Recorder<System> = Recorder::new(System);

fn main() {
    let layout = Layout::from_size_align(40_001, 64).expect("a layout");
    // SAFETY: the layout is not empty, and each block is freed or grown once, with its layout.
    unsafe {
        let block = alloc::alloc(layout);
        let grown = alloc::realloc(block, layout, 80_001);
        alloc::dealloc(grown, Layout::from_size_align_unchecked(80_001, 64));
        alloc::dealloc(alloc::alloc_zeroed(layout), layout);
    }
    let made: Vec<Vec<u8>> = (0..50).map(|_| Vec::with_capacity(40_003)).collect();
    thread::spawn(move || drop(made)).join().expect("it does not panic");
}
