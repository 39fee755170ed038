//! What the `secure` build catches at the Rust door: one line and `SIGABRT` in the faulty call.

mod common;

use std::alloc::{alloc, dealloc, realloc};
use std::ptr;

use common::block::layout;
use common::report::{announce, each_is_reported, is_reported};
use common::{KIB, MIB};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

const DOUBLE: &str = "double free";
const UNKNOWN: &str = "free of an address that is no allocation";
const BEYOND: &str = "write beyond the end of a block";
const BEFORE: &str = "write before the beginning of a block";
const LAYOUT: &str = "layout not the one allocated with,";
const STALE: &str = "write to a free block";

const SMALL: [usize; 8] = [1, 8, 16, 24, 100, 1000, 5 * KIB, 20 * KIB];

/// A block of `size` bytes that is not the first of its slab.
fn block(size: usize, align: usize) -> *mut u8 {
    loop {
        // SAFETY: no caller asks for size zero.
        let start = unsafe { alloc(layout(size, align)) };
        assert!(!start.is_null());
        if start.addr() % (64 * KIB) != 0 {
            return start;
        }
    }
}

fn free(start: *mut u8, size: usize, align: usize) {
    // SAFETY: none: these tests break the contract on purpose, in processes of their own.
    unsafe { dealloc(start, layout(size, align)) }
}

/// Changes a byte, wherever it is.
fn corrupt(place: *mut u8) {
    // SAFETY: none, as in `free`.
    unsafe { place.write_volatile(place.read_volatile() ^ 0x41) }
}

fn elsewhere(start: *mut u8, size: usize) {
    let start = start.expose_provenance();
    let _ = std::thread::spawn(move || free(ptr::with_exposed_provenance_mut(start), size, 1)).join();
}

#[test]
fn a_byte_beyond_the_end() {
    each_is_reported("a_byte_beyond_the_end", &SMALL, BEYOND, |size| {
        let start = announce(block(size, 1));
        corrupt(start.wrapping_add(size));
        free(start, size, 1);
    });
}

#[test]
fn a_byte_before_the_beginning() {
    each_is_reported("a_byte_before_the_beginning", &SMALL, BEFORE, |size| {
        let start = announce(block(size, 1));
        corrupt(start.wrapping_sub(1));
        free(start, size, 1);
    });
}

#[test]
fn another_size() {
    each_is_reported("another_size", &SMALL[1..], LAYOUT, |size| {
        free(announce(block(size, 1)), size - 1, 1);
    });
}

#[test]
fn a_much_longer_size() {
    each_is_reported("a_much_longer_size", &SMALL, LAYOUT, |size| {
        free(announce(block(size, 1)), size * 9 + 100, 1);
    });
}

#[test]
fn a_size_with_the_same_lower_bits() {
    each_is_reported("a_size_with_the_same_lower_bits", &SMALL, UNKNOWN, |size| {
        free(announce(block(size, 8)), size + (1 << 20), 8);
    });
}

#[test]
fn a_size_with_the_same_lower_bits_by_far() {
    each_is_reported("a_size_with_the_same_lower_bits_by_far", &SMALL, UNKNOWN, |size| {
        free(announce(block(size, 1)), size + (1 << 40), 1);
    });
}

/// What the seal of a free block looks like.
#[test]
fn a_double_free_with_the_size_of_a_free_block() {
    each_is_reported("a_double_free_with_the_size_of_a_free_block", &[16, 24, 40], UNKNOWN, |size| {
        let start = announce(block(size, 1));
        free(start, size, 1);
        free(start, 1 << 25, 1);
    });
}

#[test]
fn another_alignment() {
    each_is_reported("another_alignment", &SMALL, LAYOUT, |size| {
        free(announce(block(size, 1)), size, 8);
    });
}

#[test]
fn a_size_of_mappings() {
    each_is_reported("a_size_of_mappings", &SMALL, UNKNOWN, |size| {
        free(announce(block(size, 1)), 3 * MIB, 1);
    });
}

#[test]
fn a_mapping_as_a_small_block() {
    is_reported("a_mapping_as_a_small_block", 0, UNKNOWN, || free(announce(block(3 * MIB + 9, 1)), 64, 8));
}

#[test]
fn resize_with_another_layout() {
    each_is_reported("resize_with_another_layout", &SMALL[1..], LAYOUT, |size| {
        let start = announce(block(size, 1));
        // SAFETY: none, as in `free`. Nothing comes after it.
        let _ = unsafe { realloc(start, layout(size - 1, 1), 2 * size) };
    });
}

#[test]
fn double_free_although_written() {
    each_is_reported("double_free_although_written", &SMALL, DOUBLE, |size| {
        let start = announce(block(size, 1));
        free(start, size, 1);
        (0..size.min(16)).for_each(|byte| corrupt(start.wrapping_add(byte)));
        free(start, size, 1);
    });
}

/// At once: the other thread sees it too. In sizes that making a thread does not ask for.
#[test]
fn double_free_here_and_there() {
    each_is_reported("double_free_here_and_there", &SMALL[5..], DOUBLE, |size| {
        let start = announce(block(size, 1));
        free(start, size, 1);
        elsewhere(start, size);
    });
}

#[test]
fn double_free_by_two_threads() {
    each_is_reported("double_free_by_two_threads", &SMALL[5..], DOUBLE, |size| {
        let start = announce(block(size, 1));
        elsewhere(start, size);
        elsewhere(start, size);
    });
}

#[test]
fn inside_a_block() {
    for (case, offset) in [1, 8, 16, 500].into_iter().enumerate() {
        is_reported("inside_a_block", case, UNKNOWN, || {
            free(announce(block(1000, 8).wrapping_add(offset)), 1000, 8);
        });
    }
}

#[test]
fn addresses_that_are_not_ours() {
    static DATA: [u64; 8] = [7; 8];
    let addresses: [fn() -> *mut u8; 4] = [
        || (&raw const DATA).cast_mut().cast(),
        // SAFETY: no preconditions.
        || unsafe { libc::malloc(64) }.cast(),
        || ptr::without_provenance_mut(64),
        || ptr::without_provenance_mut(1 << 46),
    ];
    for (case, address) in addresses.into_iter().enumerate() {
        is_reported("addresses_that_are_not_ours", case, UNKNOWN, || free(announce(address()), 64, 8));
    }
}

#[test]
fn an_address_on_the_stack() {
    for (case, size) in [64, 5 * KIB, 100 * KIB, 3 * MIB].into_iter().enumerate() {
        is_reported("an_address_on_the_stack", case, UNKNOWN, || {
            let mut local = [0_u64; 8];
            free(announce(std::hint::black_box(&raw mut local).cast()), size, 8);
        });
    }
}

/// Seen when the block is handed out again, which the slab's other free blocks come before.
#[test]
fn a_write_to_a_free_block() {
    for (case, (size, byte)) in [(16, 0), (24, 9), (100, 0), (100, 50), (1000, 7)].into_iter().enumerate() {
        is_reported("a_write_to_a_free_block", case, STALE, || {
            let start = announce(block(size, 1));
            free(start, size, 1);
            corrupt(start.wrapping_add(byte));
            for _ in 0..10_000 {
                let _ = block(size, 1);
            }
        });
    }
}
