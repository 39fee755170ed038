//! A tenant is two groups of the allocator: its requests', and its values'.
//!
//! The limit is on the values alone. Where it refuses one, the handler says so; a framework that is
//! refused memory ends the program.

use std::future::Future;

use freestone::groups::Group;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

/// The bytes that a tenant's values may hold.
pub(crate) const LIMIT: usize = 8 << 20;

/// Whose memory it is.
pub(crate) struct Tenant {
    requests: Group,
    values: Group,
}

impl Tenant {
    pub(crate) fn new(number: usize) -> Self {
        let values = Group::create(&format!("tenant {number}, values"));
        values.limit(LIMIT);
        Self { requests: Group::create(&format!("tenant {number}, requests")), values }
    }

    /// `work`, a request of the tenant.
    pub(crate) fn run<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        self.requests.instrument(work)
    }

    /// Calls `work`, which makes a value of the tenant.
    pub(crate) fn keep<T>(&self, work: impl FnOnce() -> T) -> T {
        self.values.enter(work)
    }

    /// Live bytes of requests, and of values.
    pub(crate) fn live_bytes(&self) -> [usize; 2] {
        [&self.requests, &self.values].map(|group| group.stats().requested)
    }

    /// Bytes that each of the two holds, and has held at most.
    pub(crate) fn held_and_peak(&self) -> Option<[(usize, usize); 2]> {
        Some([&self.requests, &self.values].map(|group| {
            let stats = group.stats();
            (stats.held, stats.peak)
        }))
    }
}
