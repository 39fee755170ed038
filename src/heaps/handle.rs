//! [`Handle`]: one of several owners of a heap.

use core::fmt;
use core::ops::Deref;
use std::sync::Arc;

use super::backing::Kind;
use super::heap::Heap;

/// An owner of a heap beside others: the heap is dropped with the last of them.
///
/// It is an [`Arc`] of the heap that is an allocator, too, with the feature `allocator-api2`.
#[must_use = "a heap is dropped with its last handle"]
pub struct Handle<K: Kind>(Arc<Heap<K>>);

impl<K: Kind> Clone for Handle<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Kind> From<Heap<K>> for Handle<K> {
    fn from(heap: Heap<K>) -> Self {
        Self(Arc::new(heap))
    }
}

impl<K: Kind> Deref for Handle<K> {
    type Target = Heap<K>;

    fn deref(&self) -> &Heap<K> {
        &self.0
    }
}

impl<K: Kind> fmt::Debug for Handle<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
