//! What each allocator rounds sizes up to: its size classes, without what it keeps beside blocks.
//!
//! Freestone's sizes are asked of Freestone. The others' are as their sources have them: glibc
//! (malloc.c, `request2size`), jemalloc (size_classes.5: four classes a doubling from 128 bytes),
//! mimalloc (`_mi_bin`: eight a doubling from 64 bytes), snmalloc (`sizeclass.h`: four a doubling
//! from 16 bytes), tcmalloc is left out, as its classes are a table that changes. Blocks beyond
//! [`LARGE`] are whole pages in all of them.

use std::collections::BTreeMap;

use freestone::untyped;

/// A size rounded up.
type Round = fn(u64) -> u64;

/// The allocators that are compared.
pub(crate) const ALLOCATORS: [(&str, Round); 5] = [
    ("freestone", freestone),
    ("glibc", glibc),
    ("jemalloc", jemalloc),
    ("mimalloc", mimalloc),
    ("snmalloc", snmalloc),
];

/// From here on sizes are taken for whole pages.
const LARGE: u64 = 1 << 20;
const PAGE: u64 = 4096;

/// Bytes that rounding up adds, and bytes requested, over sizes and how often each occurs.
pub(crate) fn waste(sizes: &BTreeMap<u64, u64>, round: Round) -> (u64, u64) {
    sizes.iter().fold((0, 0), |(wasted, requested), (&size, &count)| {
        (wasted + (round(size) - size) * count, requested + size * count)
    })
}

fn whole_pages(size: u64) -> u64 {
    size.next_multiple_of(PAGE)
}

fn freestone(size: u64) -> u64 {
    if size >= LARGE {
        return whole_pages(size);
    }
    let align = if size < 16 { 8 } else { 16 };
    let block = untyped::allocate_aligned(size as usize, align);
    if block.is_null() {
        return size;
    }
    // SAFETY: the block was just made, and is given up here.
    unsafe {
        let usable = untyped::usable_size(block);
        untyped::free(block);
        (usable as u64).max(size)
    }
}

fn glibc(size: u64) -> u64 {
    (size + 8).next_multiple_of(16).max(32)
}

fn jemalloc(size: u64) -> u64 {
    match size {
        ..=8 => 8,
        9..=128 => size.next_multiple_of(16),
        LARGE.. => whole_pages(size),
        _ => steps_a_doubling(size, 4),
    }
}

fn mimalloc(size: u64) -> u64 {
    match size {
        ..=8 => 8,
        9..=64 => size.next_multiple_of(16),
        LARGE.. => whole_pages(size),
        _ => steps_a_doubling(size, 8),
    }
}

fn snmalloc(size: u64) -> u64 {
    match size {
        ..=16 => 16,
        17..=64 => size.next_multiple_of(16),
        LARGE.. => whole_pages(size),
        _ => steps_a_doubling(size, 4),
    }
}

/// Rounds up where each doubling has so many classes.
fn steps_a_doubling(size: u64, steps: u64) -> u64 {
    let below = 1 << (size - 1).ilog2();
    size.next_multiple_of((below / steps).max(16))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_those_that_the_manuals_name() {
        assert_eq!([1, 8, 9, 129, 161, 1025, 5000].map(jemalloc), [8, 8, 16, 160, 192, 1280, 5120]);
        assert_eq!([24, 25, 1000].map(glibc), [32, 48, 1008]);
        assert_eq!([65, 1000, 1025].map(mimalloc), [80, 1024, 1152]);
    }

    #[test]
    fn no_class_is_shorter_than_the_size() {
        for (name, round) in ALLOCATORS {
            for size in (0..70_000).chain([1 << 20, (1 << 20) + 1, 1 << 30]) {
                assert!(round(size) >= size, "{name} rounds {size} down");
            }
        }
    }
}
