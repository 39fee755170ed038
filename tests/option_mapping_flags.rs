//! `lock_in_memory` and `no_reserve`: flags of every mapping, as smaps shows them.

mod common;

use common::block::{Block, layout};
use common::smaps::Mapping;
use common::{KIB, MIB};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new().lock_in_memory(true).no_reserve(true);

/// What this program needs with every chunk locked, and so resident.
fn may_lock() -> bool {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure is writable.
    unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    // SAFETY: no preconditions.
    (unsafe { libc::geteuid() }) == 0 || limit.rlim_cur >= 64 << 20
}

#[test]
fn are_on_every_mapping() {
    assert!(may_lock(), "this program was started with 4 MiB chunks locked");
    for size in [100, 100 * KIB, 3 * MIB] {
        let block = Block::new(layout(size, 1), 0);
        let mapping = Mapping::of(block.address() as *const u8);
        assert!(mapping.has("lo") && mapping.has("nr"), "a block of {size}: {mapping:?}");
    }
}

/// Locked pages can be given back, too, and read as zero afterwards.
#[test]
fn locked_pages_go_back() {
    let blocks: Vec<_> = (0..16 * MIB / KIB).map(|tag| Block::new(layout(KIB, 1), tag)).collect();
    let survivors: Vec<_> = blocks.into_iter().step_by(3 * MIB / KIB).collect();
    let before = common::memory::resident();
    freestone::purge();
    let after = common::memory::resident();
    assert!(after + 8 * MIB < before, "{before} bytes resident before, {after} after");
    drop(survivors);
    let zeroed: Vec<_> = (0..64).map(|tag| Block::zeroed(layout(64 * KIB, 1), tag)).collect();
    drop(zeroed);
}
