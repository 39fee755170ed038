//! The fast path is no longer than it was: the instructions of a pair of allocation and free, loop
//! and shim included. Every program executes each of them for every block, and a measurement of
//! time does not show one more.
#![cfg(all(target_arch = "x86_64", not(debug_assertions)))]
#![cfg(not(any(feature = "asan", feature = "profile", feature = "secure", feature = "valgrind")))]

mod common;

use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;

use common::cost::cost;
use freestone::untyped;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

const PAIRS: u64 = 100;

/// The instructions of one pair in a loop of them.
fn pair(mut pairs: impl FnMut(u64)) -> u64 {
    // The slab is open, and the thread's heap taken, afterwards.
    pairs(2);
    let few = cost(|| pairs(PAIRS));
    let many = cost(|| pairs(2 * PAIRS));
    (many - few) / PAIRS
}

#[inline(never)]
fn boxes<T>(pairs: u64, value: impl Fn(u64) -> T) {
    for i in 0..pairs {
        black_box(Box::new(value(i)));
    }
}

#[test]
fn a_box_of_8_bytes() {
    let instructions = pair(|pairs| boxes(pairs, |i| i));
    assert!(instructions <= 34, "{instructions}");
}

#[test]
fn a_box_of_24_bytes() {
    let instructions = pair(|pairs| boxes(pairs, |i| [i; 3]));
    assert!(instructions <= 37, "{instructions}");
}

/// As the calls that the compiler makes of a crate without the allocator in it: the layout comes in
/// registers.
#[inline(never)]
fn called_alloc(size: usize, align: usize) -> *mut u8 {
    // SAFETY: the test's sizes are not zero, and its alignments are powers of two.
    unsafe { ALLOC.alloc(Layout::from_size_align_unchecked(size, align)) }
}

#[inline(never)]
fn called_dealloc(pointer: *mut u8, size: usize, align: usize) {
    // SAFETY: the test frees what it has allocated, with the same layout.
    unsafe { ALLOC.dealloc(pointer, Layout::from_size_align_unchecked(size, align)) }
}

/// With the loop and the calls, which take 19 of them.
#[test]
fn a_pair_by_calls_with_a_layout_that_is_not_known() {
    let (size, align) = black_box((48, 8));
    let instructions = pair(|pairs| {
        for _ in 0..pairs {
            called_dealloc(called_alloc(size, align), size, align);
        }
    });
    assert!(instructions <= 47, "{instructions}");
}

#[test]
fn a_pair_of_64_bytes_without_a_layout() {
    let instructions = pair(|pairs| {
        for _ in 0..pairs {
            let start = black_box(untyped::allocate(64));
            // SAFETY: allocated just now.
            unsafe { untyped::free(start) };
        }
    });
    assert!(instructions <= 35, "{instructions}");
}
