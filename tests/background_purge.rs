//! With the `background-purge` feature a process that has gone idle shrinks by itself, and so does
//! its forked child. Built with that feature only.
#![cfg(feature = "background-purge")]

mod common;

use std::thread;
use std::time::{Duration, Instant};

use common::block::{Block, layout};
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
    drop((blocks(KIB), blocks(4 * MIB)));
    let started = Instant::now();
    // Reading the figure allocates a little, in the heap's own slabs: no slow path that would purge.
    while resident() > before + 8 * MIB {
        assert!(started.elapsed() < PATIENCE, "{before} bytes before, {} after", resident());
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn an_idle_process_shrinks() {
    child::succeeds("an_idle_process_shrinks", shrinks_while_idle);
}

#[test]
fn and_so_does_its_child() {
    child::succeeds("and_so_does_its_child", || {
        shrinks_while_idle();
        // SAFETY: the child only does what the parent does, and ends.
        let process = unsafe { libc::fork() };
        if process == 0 {
            shrinks_while_idle();
            // SAFETY: no preconditions.
            unsafe { libc::_exit(7) };
        }
        shrinks_while_idle();
        let mut status = 0;
        // SAFETY: `status` is writable.
        assert_eq!(unsafe { libc::waitpid(process, &raw mut status, 0) }, process);
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 7, "{status:#x}");
    });
}
