//! With the `background-purge` feature a process that has gone idle shrinks by itself, and so does
//! its forked child. Built with that feature only.
#![cfg(feature = "background-purge")]

mod common;

use std::thread;
use std::time::{Duration, Instant};

use common::block::{Block, layout};
use common::forked::{WELL, fork, wait};
use common::memory::resident;
use common::{KIB, MIB, child};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

/// A second is what it takes; a busy machine may take longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Fills 64 MiB, frees it and rests.
fn shrinks_while_idle() {
    let before = resident();
    let blocks = |size| (0..32 * MIB / size).map(|tag| Block::new(layout(size, 1), tag)).collect::<Vec<_>>();
    let blocks = (blocks(KIB), blocks(4 * MIB));
    // Up to 8 MiB may be left of an earlier round, and serve this one.
    assert!(resident() > before + 52 * MIB, "touched memory is resident");
    drop(blocks);
    let started = Instant::now();
    // Reading the figure allocates a little, in the heap's own slabs: no slow path that would
    // purge.
    while resident() > before + 8 * MIB {
        assert!(started.elapsed() < PATIENCE, "{before} bytes before, {} after", resident());
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn an_idle_process_shrinks() {
    child::alone(shrinks_while_idle);
}

#[test]
fn and_so_does_its_child() {
    child::alone(|| {
        shrinks_while_idle();
        let process = fork(shrinks_while_idle);
        shrinks_while_idle();
        assert_eq!(wait(process), WELL);
    });
}
