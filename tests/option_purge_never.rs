//! `purge_delay(Duration::MAX)`: nothing goes back by itself, everything by `purge()`.

mod common;

use std::thread;
use std::time::Duration;

use common::block::{Block, layout};
use common::memory::resident;
use common::{KIB, MIB};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new().purge_delay(std::time::Duration::MAX);

#[test]
fn stays_until_it_is_asked_for() {
    let before = resident();
    let blocks = |size| (0..32 * MIB / size).map(|tag| Block::new(layout(size, 1), tag)).collect::<Vec<_>>();
    drop((blocks(KIB), blocks(4 * MIB)));
    for _ in 0..20 {
        thread::sleep(Duration::from_millis(20));
        // Slow paths, which would purge.
        drop((0..200).map(|tag| Block::new(layout(2 * KIB, 1), tag)).collect::<Vec<_>>());
    }
    assert!(resident() > before + 56 * MIB, "kept");
    freestone::purge();
    assert!(resident() < before + 8 * MIB, "gone");
}
