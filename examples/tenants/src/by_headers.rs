//! A tenant is two numbers in headers before its blocks: its requests', and its values'.

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

/// Live bytes by number; the first is nobody's.
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
        let number = CURRENT.try_with(Cell::get).unwrap_or(0);
        LIVE[number].fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the header comes first in the whole, and the block lies behind it.
        unsafe {
            header.cast::<usize>().write(number);
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
pub(crate) struct Tenant {
    requests: usize,
    values: usize,
}

struct Tagged<F> {
    number: usize,
    work: F,
}

impl<F: Future> Future for Tagged<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: `work` is pinned as `self` is.
        let (number, work) = unsafe {
            let this = self.get_unchecked_mut();
            (this.number, Pin::new_unchecked(&mut this.work))
        };
        let outside = CURRENT.replace(number);
        let polled = work.poll(context);
        CURRENT.set(outside);
        polled
    }
}

impl Tenant {
    pub(crate) fn new(number: usize) -> Self {
        Self { requests: 2 * number + 1, values: 2 * number + 2 }
    }

    /// `work`, a request of the tenant.
    pub(crate) fn run<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        Tagged { number: self.requests, work }
    }

    /// Calls `work`, which makes a value of the tenant.
    pub(crate) fn keep<T>(&self, work: impl FnOnce() -> T) -> T {
        let outside = CURRENT.replace(self.values);
        let made = work();
        CURRENT.set(outside);
        made
    }

    /// Live bytes of requests, and of values.
    pub(crate) fn live_bytes(&self) -> [usize; 2] {
        [self.requests, self.values].map(|number| LIVE[number].load(Ordering::Relaxed))
    }

    pub(crate) fn held_and_peak(&self) -> Option<[(usize, usize); 2]> {
        None
    }
}
