//! The shadow model under operations that shrink: a failure comes down to the fewest operations
//! that still show it.

mod common;

use std::sync::Arc;

use common::shadow::{Operation, Ranges, Shadow};
use common::{LARGEST_SMALL, LARGEST_SMALL_ALIGN, MIB};
use proptest::prelude::*;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![8 => 1..=1024_usize, 4 => 1..=LARGEST_SMALL, 1 => LARGEST_SMALL..=4 * MIB]
}

fn aligns() -> impl Strategy<Value = usize> {
    let most = LARGEST_SMALL_ALIGN.ilog2();
    prop_oneof![8 => 0..=4_u32, 4 => 0..=most, 1 => most..=most + 4].prop_map(|log2| 1 << log2)
}

fn operations() -> impl Strategy<Value = Operation> {
    let pick = any::<usize>();
    prop_oneof![
        3 => (sizes(), aligns()).prop_map(|(size, align)| Operation::Allocate { size, align }),
        1 => (sizes(), aligns()).prop_map(|(size, align)| Operation::AllocateZeroed { size, align }),
        2 => (pick, sizes()).prop_map(|(pick, size)| Operation::Resize { pick, size }),
        3 => pick.prop_map(|pick| Operation::Free { pick }),
    ]
}

proptest! {
    // The failing operations are printed; no file of them is kept.
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_operations(operations in prop::collection::vec(operations(), 1..400)) {
        let mut shadow = Shadow::new(Arc::new(Ranges::default()), 0);
        for operation in operations {
            shadow.apply(operation);
        }
        shadow.free_all();
    }
}
