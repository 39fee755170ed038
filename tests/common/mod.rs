//! What the tests share.
#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "each test file is a program of its own and uses a part of this"
)]

pub(crate) mod block;
pub(crate) mod child;
pub(crate) mod clock;
pub(crate) mod cost;
pub(crate) mod death;
pub(crate) mod example;
pub(crate) mod forked;
pub(crate) mod group;
pub(crate) mod life;
pub(crate) mod maps;
pub(crate) mod memory;
pub(crate) mod ranges;
pub(crate) mod report;
pub(crate) mod seccomp;
pub(crate) mod seed;
pub(crate) mod shadow;
pub(crate) mod skip;
pub(crate) mod smaps;
pub(crate) mod source;

pub(crate) use skip::skip;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) const KIB: usize = 1 << 10;
pub(crate) const MIB: usize = 1 << 20;
pub(crate) const GIB: usize = 1 << 30;

/// The largest size that is carved from a slab; a byte more is a mapping of its own.
pub(crate) const LARGEST_SMALL: usize = MIB;
/// The largest alignment that a slab gives; with a larger one every size is a mapping of its own.
pub(crate) const LARGEST_SMALL_ALIGN: usize = 64 * KIB;

/// Lets the tests of one file run one at a time, where they measure the whole process.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    // A test that failed must not make the others fail too.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sizes on both sides of every border between size classes and of every power of two, up to
/// `most`: at least one of each class, without naming the classes.
pub(crate) fn border_sizes(most: usize) -> Vec<usize> {
    let regular = (7..usize::BITS).flat_map(|log2| (8..16).map(move |step| (1_usize << (log2 - 3)) * step));
    let mut sizes: Vec<usize> = (8..128)
        .step_by(8)
        .chain(regular.take_while(|size| *size <= most))
        .flat_map(|border| [border - 1, border, border + 1])
        .filter(|size| *size <= most)
        .collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}
