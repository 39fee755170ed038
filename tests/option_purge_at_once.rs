//! `purge_delay(Duration::ZERO)`: what is freed goes back in the same call.

mod common;

use common::block::{Block, layout};
use common::memory::resident;
use common::{KIB, MIB};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new().purge_delay(std::time::Duration::ZERO);

#[test]
fn goes_back_with_the_free() {
    for size in [KIB, 200 * KIB, 4 * MIB] {
        let mut blocks: Vec<_> = (0..64 * MIB / size).map(|tag| Block::new(layout(size, 1), tag)).collect();
        let full = resident();
        // One stays, so that its chunk does.
        blocks.truncate(1);
        let after = resident();
        assert!(after + 56 * MIB < full, "blocks of {size}: {full} bytes resident before, {after} after");
    }
}
