//! Random operations of one thread: no block overlaps a live one, none is misaligned, and none
//! loses its contents.

mod common;

use std::sync::Arc;

use common::seed::random;
use common::shadow::{Operation, Ranges, Shadow};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

/// How many operations, each time around a different number of live blocks.
const OPERATIONS: usize = 40_000;

#[test]
fn random_operations() {
    for (stream, enough) in [10, 300, 3000].into_iter().enumerate() {
        let mut random = random(stream as u64);
        let mut shadow = Shadow::new(Arc::new(Ranges::default()), 0);
        for _ in 0..OPERATIONS {
            shadow.apply(Operation::random(&mut random, shadow.live(), enough));
        }
        shadow.free_all();
    }
}
