//! A tenant is a number in a header before each of its blocks.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use freestone::Freestone;

#[global_allocator]
static ALLOC: Headers = Headers(Freestone::new());

/// Nothing is limited here.
pub(crate) const LIMIT: usize = usize::MAX;

/// Counts of tenants; the first is nobody's.
static LIVE: [AtomicUsize; 65] = [const { AtomicUsize::new(0) }; 65];

thread_local! {
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

struct Headers(Freestone);

/// The layout of a block with its header, and where in it the block begins.
fn with_header(layout: Layout) -> Option<(Layout, usize)> {
    let (whole, start) = Layout::new::<usize>().extend(layout).ok()?;
    Some((whole.pad_to_align(), start))
}

// SAFETY: a block lies behind its header in one of Freestone's.
unsafe impl GlobalAlloc for Headers {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some((whole, start)) = with_header(layout) else { return std::ptr::null_mut() };
        // SAFETY: the whole has bytes.
        let header = unsafe { self.0.alloc(whole) };
        if header.is_null() {
            return header;
        }
        let tenant = CURRENT.try_with(Cell::get).unwrap_or(0);
        LIVE[tenant].fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the header comes first in the whole, and the block lies behind it.
        unsafe {
            header.cast::<usize>().write(tenant);
            header.add(start)
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some((whole, start)) = with_header(layout) else { return };
        // SAFETY: `alloc` has put a header there.
        unsafe {
            let header = block.sub(start);
            LIVE[header.cast::<usize>().read()].fetch_sub(layout.size(), Ordering::Relaxed);
            self.0.dealloc(header, whole);
        }
    }
}

/// Whose memory it is.
pub(crate) struct Tenant(usize);

struct Tagged<F> {
    tenant: usize,
    work: F,
}

impl<F: Future> Future for Tagged<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: `work` is pinned as `self` is.
        let (tenant, work) = unsafe {
            let this = self.get_unchecked_mut();
            (this.tenant, Pin::new_unchecked(&mut this.work))
        };
        let outside = CURRENT.replace(tenant);
        let polled = work.poll(context);
        CURRENT.set(outside);
        polled
    }
}

impl Tenant {
    pub(crate) fn new(number: usize) -> Self {
        Self(number + 1)
    }

    /// `work`, whose memory is the tenant's.
    pub(crate) fn run<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        Tagged { tenant: self.0, work }
    }

    pub(crate) fn live_bytes(&self) -> usize {
        LIVE[self.0].load(Ordering::Relaxed)
    }

    pub(crate) fn held_and_peak(&self) -> Option<(usize, usize)> {
        None
    }
}
