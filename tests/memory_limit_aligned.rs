//! `memory_limit` counts what small blocks of a great alignment are given, not the address space
//! between them.

mod common;

use std::alloc::{alloc, dealloc};

use common::block::layout;
use common::memory::page_bytes;
use common::{KIB, MIB};

const LIMIT: usize = 16 * MIB;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new().memory_limit(LIMIT);

#[test]
fn they_fill_it_page_by_page() {
    let layout = layout(64, 128 * KIB);
    let mut blocks = Vec::with_capacity(LIMIT / page_bytes());
    // SAFETY: the size is not zero.
    let next = || unsafe { alloc(layout) };
    loop {
        let start = next();
        if start.is_null() {
            break;
        }
        blocks.push(start);
    }
    let pages = LIMIT / page_bytes();
    assert!((pages / 2..=pages).contains(&blocks.len()), "{} blocks of {pages} pages", blocks.len());
    assert!(freestone::stats().committed <= LIMIT);
    for start in blocks {
        // SAFETY: the block is live and has this layout.
        unsafe { dealloc(start, layout) };
    }
    let again = next();
    assert!(!again.is_null(), "there is room again");
    // SAFETY: as above.
    unsafe { dealloc(again, layout) };
}
