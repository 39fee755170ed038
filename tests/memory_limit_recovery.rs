//! At the memory limit allocations fail; what was freed, in whatever form it is kept, serves every
//! other form.

mod common;

use common::block::{Block, layout};
use common::{KIB, MIB};

const LIMIT: usize = 48 * MIB;

// Nothing goes back by itself: only the limit empties what is kept.
#[global_allocator]
static ALLOC: freestone::Freestone =
    freestone::Freestone::new().memory_limit(LIMIT).purge_delay(std::time::Duration::MAX);

#[test]
fn every_form_serves_every_other() {
    let mut blocks: Vec<Block> = Vec::with_capacity(300_000);
    for size in [200, 3 * MIB, 30 * KIB, 700 * KIB, 2 * MIB, 1_000, 5 * MIB, 64 * KIB] {
        while let Some(block) = Block::try_new(layout(size, 1), size) {
            blocks.push(block);
        }
        let (had, stats) = (blocks.len() * size, freestone::stats());
        // Growing beyond it fails as well, and leaves the block as it was.
        let last = blocks.last_mut().expect("there was some memory");
        assert!(!last.try_resize(LIMIT), "more than the limit was had");
        last.check();
        blocks.clear();
        // With a seal, a size that is a power of two needs an eighth more.
        let least = (LIMIT / 4 * 3 - 5 * MIB) / 8 * if cfg!(feature = "secure") { 7 } else { 8 };
        // Only now is there memory to say so.
        assert!(had > least, "{had} bytes in blocks of {size}\n{stats}");
        assert!(stats.committed <= LIMIT);
    }
}
