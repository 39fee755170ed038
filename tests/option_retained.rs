//! `retained_bytes`: so much of freed large blocks waits for reuse, and no more.

mod common;

use common::MIB;
use common::block::{Block, layout};

#[global_allocator]
static ALLOC: freestone::Freestone =
    freestone::Freestone::new().retained_bytes(10 * MIB).purge_delay(std::time::Duration::MAX);

#[test]
fn is_the_most_that_waits() {
    let blocks: Vec<_> = (0..8).map(|tag| Block::new(layout(3 * MIB, 1), tag)).collect();
    drop(blocks);
    let retained = freestone::stats().retained;
    assert!((6 * MIB..=10 * MIB).contains(&retained), "{retained} bytes");
    drop(Block::new(layout(11 * MIB, 1), 0));
    assert!(freestone::stats().retained <= 10 * MIB);
}
