//! A tenant is a group of the allocator.

use std::future::Future;

use freestone::groups::Group;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

/// The bytes that a tenant may hold.
pub(crate) const LIMIT: usize = 8 << 20;

/// Whose memory it is.
pub(crate) struct Tenant(Group);

impl Tenant {
    pub(crate) fn new(number: usize) -> Self {
        let group = Group::create(&format!("tenant {number}"));
        group.limit(LIMIT);
        Self(group)
    }

    /// `work`, whose memory is the tenant's.
    pub(crate) fn run<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        self.0.instrument(work)
    }

    pub(crate) fn live_bytes(&self) -> usize {
        self.0.stats().requested
    }

    pub(crate) fn held_and_peak(&self) -> Option<(usize, usize)> {
        let stats = self.0.stats();
        Some((stats.held, stats.peak))
    }
}
