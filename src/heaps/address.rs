//! The address of a file heap: chosen at random when the file is made, and the same ever after.

use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};

use super::geometry::Geometry;
use crate::map::{self, Mapping, Protection};

/// Ranges that the kernel's randomisation leaves free of stacks, mappings and programs: those begin
/// at the top of the address space and at two thirds of it.
///
/// The first is for kernels that offer 47 bits and more: x86-64, most aarch64, and Sv48 of RISC-V.
/// The shadow memory of sanitizers lies below it. The others are fallbacks where the kernel offers
/// fewer: for 42 bits, aarch64 with pages of 64 KiB; and for 39 and 38, aarch64 and Sv39 of RISC-V,
/// whose programs have half of its addresses.
const ADDRESSES: [(usize, usize); 3] = [
    (0x2000_0000_0000, 0x5000_0000_0000),
    (0x80_0000_0000, 0x140_0000_0000),
    (0x4_0000_0000, 0x20_0000_0000),
];
/// Heaps begin on multiples of this many bytes.
const ADDRESS_STEP: usize = 1 << 30;
/// Addresses that are tried in one range before its error counts.
const ATTEMPTS: usize = 64;

/// Maps the file at `address`, up to the heap's limit, or fails: no other mapping is replaced.
pub(super) fn map_at(file: &File, address: usize, geometry: Geometry) -> Result<Mapping, map::Error> {
    Mapping::file(file)
        .len(geometry.whole())
        .shared()
        .protection(Protection::READ_WRITE)
        .exactly_at(address)
        .map()
}

/// Whether something else is mapped in the range.
pub(super) fn is_taken(error: &map::Error) -> bool {
    match error {
        map::Error::Kernel { errno, .. } => errno.number() == libc::EEXIST,
        map::Error::Refused(refusal) => *refusal == map::Refusal::NotPlaced,
    }
}

/// Whether the kernel answered `ENOMEM`, as it does for an address beyond those that it offers.
fn has_no_room(error: &map::Error) -> bool {
    error.errno().is_some_and(|errno| errno.number() == libc::ENOMEM)
}

/// Maps a new heap at an address that is free here, and likely to be free in other processes. The
/// error is that of the last range tried.
pub(super) fn map_anew(file: &File, geometry: Geometry) -> Result<Mapping, map::Error> {
    let [high, middle, low] = ADDRESSES;
    let or_in = |answer: Result<Mapping, map::Error>, range| match answer {
        Err(error) if has_no_room(&error) => map_in(range, file, geometry),
        answer => answer,
    };
    or_in(or_in(map_in(high, file, geometry), middle), low)
}

/// Maps a new heap at a random address of a range.
fn map_in((low, high): (usize, usize), file: &File, geometry: Geometry) -> Result<Mapping, map::Error> {
    let steps = high.wrapping_sub(low).saturating_sub(geometry.whole()) / ADDRESS_STEP;
    let random = RandomState::new();
    let mut attempt = 0_usize;
    loop {
        let mut hasher = random.build_hasher();
        hasher.write_usize(attempt);
        let step = (hasher.finish() as usize).checked_rem(steps).unwrap_or(0);
        let answer = map_at(file, low.wrapping_add(step.wrapping_mul(ADDRESS_STEP)), geometry);
        attempt = attempt.wrapping_add(1);
        match answer {
            Err(error) if is_taken(&error) && attempt < ATTEMPTS => {}
            answer => return answer,
        }
    }
}
