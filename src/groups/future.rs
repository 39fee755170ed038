//! A future that is polled in a group.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use super::Group;

/// A future that enters a group at each poll; see [`Group::instrument`]. It may be moved between
/// threads from poll to poll. It is dropped outside of the group, which is the same to the books.
#[derive(Debug)]
#[must_use = "a future does nothing unless it is polled"]
pub struct Instrumented<F> {
    // Dropped before the handle, so that the group ends here if these were its last blocks.
    future: F,
    group: Group,
}

impl<F> Instrumented<F> {
    pub(super) const fn new(group: Group, future: F) -> Self {
        Self { future, group }
    }

    /// The future, which is in no group any more.
    pub fn into_inner(self) -> F {
        self.future
    }
}

impl<F: Future> Future for Instrumented<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: `future` is pinned as `self` is: nothing here moves it, there is no `Drop`, and
        // the type is `Unpin` only where the future is.
        let this = unsafe { self.get_unchecked_mut() };
        // SAFETY: as above.
        let future = unsafe { Pin::new_unchecked(&mut this.future) };
        let _entered = this.group.entered();
        future.poll(context)
    }
}
