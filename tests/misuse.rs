//! Misuse ends the process before the faulty call returns, with one line on standard error.

mod common;

use std::alloc::{alloc, dealloc, realloc};
use std::ptr;

use common::block::layout;
use common::report::{announce, each_is_reported, is_reported, is_reported_or_faults};
use common::{KIB, MIB};
use freestone::untyped;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

const DOUBLE: &str = "double free";
const UNKNOWN: &str = "free of an address that is no allocation";
/// As the owner says it, who looks through the slab's list later; seals tell at once.
const ELSEWHERE: &str = if cfg!(feature = "secure") { DOUBLE } else { "double free by another thread" };

/// One size of each kind: in the inlined path, below and above a unit, the largest of slabs.
const SMALL: [usize; 9] = [1, 8, 16, 24, 100, 1000, 5 * KIB, 50 * KIB, MIB];

/// A block of `size` bytes, as a program has it.
fn block(size: usize) -> *mut u8 {
    // SAFETY: no caller asks for size zero.
    let start = unsafe { alloc(layout(size, 1)) };
    assert!(!start.is_null());
    // SAFETY: the block has at least one byte.
    unsafe { start.write(1) };
    start
}

/// Frees without a question.
fn free(start: *mut u8, size: usize) {
    // SAFETY: none: these tests break the contract on purpose, in processes of their own.
    unsafe { dealloc(start, layout(size, 1)) }
}

fn free_untyped(start: *mut u8) {
    // SAFETY: none, as in `free`.
    unsafe { untyped::free(start) }
}

// ---- with a layout ----

#[test]
fn double_free_at_once() {
    each_is_reported("double_free_at_once", &SMALL[..8], DOUBLE, |size| {
        let (_neighbour, start) = (block(size), announce(block(size)));
        free(start, size);
        free(start, size);
    });
}

/// With the only block of its slab, the slab has gone.
#[test]
fn double_free_of_the_only_block() {
    each_is_reported("double_free_of_the_only_block", &[MIB], UNKNOWN, |size| {
        let start = announce(block(size));
        free(start, size);
        free(start, size);
    });
}

#[test]
fn double_free_after_other_frees() {
    each_is_reported("double_free_after_other_frees", &SMALL[..7], DOUBLE, |size| {
        let blocks: Vec<*mut u8> = (0..8).map(|_| block(size)).collect();
        announce(blocks[0]);
        blocks[..7].iter().for_each(|start| free(*start, size));
        free(blocks[0], size);
    });
}

/// Freed while its slab was full.
#[test]
fn double_free_in_a_full_slab() {
    each_is_reported("double_free_in_a_full_slab", &SMALL[..7], DOUBLE, |size| {
        let blocks: Vec<*mut u8> = (0..2 * MIB / size.max(16)).map(|_| block(size)).collect();
        announce(blocks[0]);
        free(blocks[0], size);
        free(blocks[0], size);
    });
}

#[test]
fn double_free_by_a_thread_that_does_not_own_the_slab() {
    each_is_reported("double_free_by_a_thread_that_does_not_own_the_slab", &SMALL[..6], DOUBLE, |size| {
        let (_neighbour, start) = (block(size), announce(block(size)).expose_provenance());
        let thread = std::thread::spawn(move || {
            free(ptr::with_exposed_provenance_mut(start), size);
            free(ptr::with_exposed_provenance_mut(start), size);
        });
        let _ = thread.join();
    });
}

/// Runs `job` in a thread of its own, to its end.
fn elsewhere(job: impl FnOnce() + Send + 'static) {
    let _ = std::thread::spawn(job).join();
}

fn free_elsewhere(starts: &[*mut u8], size: usize) {
    let starts: Vec<usize> = starts.iter().map(|start| start.expose_provenance()).collect();
    elsewhere(move || {
        starts.into_iter().for_each(|start| free(ptr::with_exposed_provenance_mut(start), size))
    });
}

/// The other thread has published its free; the owner adopts it when it looks.
#[test]
fn double_free_by_another_thread_and_then_the_owner() {
    each_is_reported("double_free_by_another_thread_and_then_the_owner", &SMALL[..6], DOUBLE, |size| {
        let (_neighbour, start) = (block(size), announce(block(size)));
        free_elsewhere(&[start], size);
        free(start, size);
    });
}

/// The other thread cannot know; the owner judges it on its next slow path. In sizes that making
/// a thread does not ask for: it would be given the block in between.
#[test]
fn double_free_by_the_owner_and_then_another_thread() {
    each_is_reported(
        "double_free_by_the_owner_and_then_another_thread",
        &[1000, 5 * KIB, 50 * KIB],
        ELSEWHERE,
        |size| {
            let (_neighbour, start, other) = (block(size), announce(block(size)), block(size));
            free(start, size);
            free_elsewhere(&[other, start], size);
            freestone::thread_idle();
        },
    );
}

#[test]
fn double_free_by_two_other_threads() {
    each_is_reported("double_free_by_two_other_threads", &SMALL[..6], ELSEWHERE, |size| {
        let (_neighbour, start, other) = (block(size), announce(block(size)), block(size));
        free_elsewhere(&[start], size);
        free_elsewhere(&[other, start], size);
        freestone::thread_idle();
    });
}

/// The slab is gone, its chunk is not.
#[test]
fn double_free_into_an_emptied_slab() {
    each_is_reported("double_free_into_an_emptied_slab", &SMALL[3..7], UNKNOWN, |size| {
        let blocks: Vec<*mut u8> = (0..2 * MIB / size).map(|_| block(size)).collect();
        announce(blocks[0]);
        blocks.iter().for_each(|start| free(*start, size));
        free(blocks[0], size);
    });
}

#[test]
fn double_free_of_a_mapping() {
    each_is_reported("double_free_of_a_mapping", &[MIB + 1, 3 * MIB, 200 * MIB], UNKNOWN, |size| {
        let start = announce(block(size));
        free(start, size);
        free(start, size);
    });
}

#[test]
fn double_free_of_a_mapping_after_others() {
    each_is_reported("double_free_of_a_mapping_after_others", &[MIB + 1, 3 * MIB], UNKNOWN, |size| {
        let blocks: Vec<*mut u8> = (0..40).map(|_| block(size)).collect();
        announce(blocks[0]);
        blocks.iter().for_each(|start| free(*start, size));
        free(blocks[0], size);
    });
}

#[test]
fn inside_a_mapping() {
    each_is_reported("inside_a_mapping", &[1, 8, 4 * KIB, MIB], UNKNOWN, |offset| {
        let start = block(3 * MIB);
        free(announce(start.wrapping_add(offset)), 3 * MIB);
    });
}

#[test]
fn resize_of_a_freed_mapping() {
    is_reported("resize_of_a_freed_mapping", 0, "realloc of an address that is no allocation", || {
        let start = announce(block(3 * MIB));
        free(start, 3 * MIB);
        // SAFETY: none, as in `free`. Nothing comes after it.
        let _ = unsafe { realloc(start, layout(3 * MIB, 1), 9 * MIB) };
    });
}

/// Where a slab's record would be there may be no memory at all: then the kernel reports.
#[test]
fn addresses_that_are_no_blocks() {
    static DATA: [u64; 8] = [7; 8];
    let addresses: [fn() -> *mut u8; 4] = [
        // Where no block of any class begins, whatever slab may be there.
        || Box::leak(Box::new([0_u64; 8])).as_mut_ptr().cast::<u8>().wrapping_add((1 << 20) + 8),
        || (&raw const DATA).cast_mut().cast(),
        // SAFETY: no preconditions.
        || unsafe { libc::malloc(64) }.cast(),
        || ptr::without_provenance_mut(64),
    ];
    for (case, address) in addresses.into_iter().enumerate() {
        is_reported_or_faults("addresses_that_are_no_blocks", case, UNKNOWN, || {
            free(announce(address()), 64);
        });
    }
}

/// Null pointers with an offset, as of a field.
#[test]
fn addresses_near_null() {
    each_is_reported("addresses_near_null", &[8, 64, 4 * KIB, 64 * KIB - 8], UNKNOWN, |address| {
        free(announce(ptr::without_provenance_mut(address)), 64);
    });
}

#[test]
fn an_address_on_the_stack() {
    for (case, size) in [64, 5 * KIB, 100 * KIB, 3 * MIB].into_iter().enumerate() {
        is_reported_or_faults("an_address_on_the_stack", case, UNKNOWN, || {
            let mut local = [0_u64; 8];
            free(announce(std::hint::black_box(&raw mut local).cast()), size);
        });
    }
}

// ---- without a layout: everything is looked at before anything is touched ----

#[test]
fn untyped_double_free() {
    each_is_reported("untyped_double_free", &SMALL[..8], DOUBLE, |size| {
        let (_neighbour, start) = (untyped::allocate(size), announce(untyped::allocate(size)));
        free_untyped(start);
        free_untyped(start);
    });
}

#[test]
fn untyped_double_free_of_a_mapping() {
    each_is_reported("untyped_double_free_of_a_mapping", &[MIB + 1, 9 * MIB], UNKNOWN, |size| {
        let start = announce(untyped::allocate(size));
        free_untyped(start);
        free_untyped(start);
    });
}

#[test]
fn untyped_inside_a_block() {
    for (case, offset) in [1, 8, 16, 48].into_iter().enumerate() {
        each_is_reported_at(case, offset);
    }
}

/// Every size, `offset` bytes into a block.
fn each_is_reported_at(first: usize, offset: usize) {
    for (case, size) in SMALL[4..].iter().chain(&[3 * MIB]).enumerate() {
        is_reported("untyped_inside_a_block", first * 10 + case, UNKNOWN, || {
            let start = untyped::allocate(*size);
            free_untyped(announce(start.wrapping_add(offset)));
        });
    }
}

/// Beyond what was ever handed out, and in the header of a chunk.
#[test]
fn untyped_where_no_block_was_handed_out() {
    let addresses: [fn(*mut u8) -> *mut u8; 2] = [
        |start| start.map_addr(|address| (address | (64 * KIB - 1)) - 111),
        |start| start.map_addr(|address| (address & !(4 * MIB - 1)) + 128),
    ];
    for (case, address) in addresses.into_iter().enumerate() {
        is_reported("untyped_where_no_block_was_handed_out", case, UNKNOWN, || {
            free_untyped(announce(address(untyped::allocate(112))));
        });
    }
}

#[test]
fn untyped_addresses_that_are_not_ours() {
    static DATA: [u64; 8] = [7; 8];
    let addresses: [fn() -> *mut u8; 5] = [
        || (&raw const DATA).cast_mut().cast(),
        // SAFETY: no preconditions.
        || unsafe { libc::malloc(64) }.cast(),
        || ptr::without_provenance_mut(64),
        || ptr::without_provenance_mut(usize::MAX - 63),
        || ptr::without_provenance_mut(1 << 47),
    ];
    for (case, address) in addresses.into_iter().enumerate() {
        is_reported("untyped_addresses_that_are_not_ours", case, UNKNOWN, || {
            free_untyped(announce(address()))
        });
    }
}

#[test]
fn untyped_address_on_the_stack() {
    is_reported("untyped_address_on_the_stack", 0, UNKNOWN, || {
        let mut local = [0_u64; 8];
        free_untyped(announce(std::hint::black_box(&raw mut local).cast()));
    });
}

#[test]
fn untyped_after_purge() {
    is_reported("untyped_after_purge", 0, UNKNOWN, || {
        let blocks: Vec<*mut u8> = (0..3000).map(|_| untyped::allocate(5 * KIB)).collect();
        announce(blocks[1500]);
        blocks.iter().for_each(|start| free_untyped(*start));
        freestone::purge();
        free_untyped(blocks[1500]);
    });
}
