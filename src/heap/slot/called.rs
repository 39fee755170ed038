//! The slot as a `thread_local!`, which is read by a call.

use core::cell::Cell;

use super::NEW;
use crate::heap::Heap;

thread_local! {
    static HEAP: Cell<*const Heap> = const { Cell::new(&raw const NEW) };
}

/// The slot's value; never null. Not inlined, since a caller would keep the address of `HEAP`.
#[inline(never)]
pub(crate) fn get() -> *const Heap {
    // Without a destructor the slot is there as long as the thread; the error never happens.
    HEAP.try_with(Cell::get).unwrap_or(&raw const NEW)
}

/// Changes the slot.
#[inline(never)]
pub(crate) fn set(heap: *const Heap) {
    let _ = HEAP.try_with(|slot| slot.set(heap));
}
