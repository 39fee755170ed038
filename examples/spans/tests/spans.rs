//! Whose memory it is, to the byte: in nested spans, in tasks that move between threads, and where
//! spans are left in odd ways.

use std::future::Future;
use std::pin::Pin;
use std::sync::Once;
use std::task::{Context, Poll, Waker};
use std::{mem, thread};

use freestone::groups::Group;
use freestone_spans::{MemoryGroups, SPANS, group, registry};
use tracing::{Instrument, info_span};
use tracing_subscriber::layer::SubscriberExt;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

/// For all tests of the process.
fn begin() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let subscriber = registry().with(MemoryGroups);
        tracing::subscriber::set_global_default(subscriber).expect("there is no other");
    });
}

#[test]
fn nested_spans_have_what_is_allocated_in_each() {
    begin();
    let (outer, inner) = (group("nested, outer"), group("nested, inner"));
    let kept = info_span!("outer", memory_group = "nested, outer").in_scope(|| {
        let first = vec![0_u8; 1000];
        let plain = info_span!("plain").in_scope(|| vec![0_u8; 20]);
        let span = info_span!("inner", memory_group = %format_args!("nested, {}", "inner"));
        let second = span.in_scope(|| vec![0_u8; 100]);
        let again = span.in_scope(|| vec![0_u8; 5]);
        [first, plain, second, again, vec![0_u8; 3]]
    });
    assert_eq!((outer.requested(), inner.requested()), (1000 + 20 + 3, 100 + 5));
    assert_eq!((outer.stats().blocks, inner.stats().blocks), (3, 2));
    assert_eq!(Group::current(), None);
    drop(kept);
    assert_eq!((outer.requested(), inner.requested()), (0, 0));
}

#[test]
fn spans_left_in_another_order_leave_their_own_groups() {
    begin();
    let [one, two] = ["order, one", "order, two"].map(group);
    let first = info_span!("one", memory_group = "order, one").entered();
    let second = info_span!("two", memory_group = "order, two").entered();
    drop(first);
    assert_eq!(Group::current().as_ref(), Some(two));
    let kept = vec![0_u8; 77];
    drop(second);
    assert_eq!(Group::current(), None);
    assert_eq!((one.requested(), two.requested()), (0, 77));
    drop(kept);
}

/// Sleeps once.
struct Nap(bool);

impl Future for Nap {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if mem::replace(&mut self.0, true) { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[test]
fn a_task_is_in_its_groups_on_whatever_thread_it_is_polled() {
    begin();
    let (task, step) = (group("task"), group("task, step"));
    let work = async {
        let mut kept = Vec::with_capacity(4);
        for size in 1..=4_usize {
            kept.push(vec![0_u8; 100 * size]);
            let inner = async {
                Nap(false).await;
                vec![0_u8; size]
            };
            drop(inner.instrument(info_span!("step", memory_group = "task, step")).await);
        }
        (kept, thread::current().id())
    };
    let mut task_future: Pin<Box<dyn Future<Output = _> + Send>> =
        Box::pin(work.instrument(info_span!("task", memory_group = "task")));
    let table = 4 * size_of::<Vec<u8>>();
    for polls in 1..=4 {
        task_future = thread::spawn(move || {
            let mut context = Context::from_waker(Waker::noop());
            assert!(task_future.as_mut().poll(&mut context).is_pending());
            assert_eq!(Group::current(), None);
            task_future
        })
        .join()
        .expect("it ends");
        let bytes = (1..=polls).map(|size| 100 * size).sum::<usize>();
        assert_eq!((task.requested(), step.requested()), (table + bytes, 0));
        assert_eq!(task.stats().blocks, 1 + polls);
    }
    let mut context = Context::from_waker(Waker::noop());
    let Poll::Ready((kept, last)) = task_future.as_mut().poll(&mut context) else { panic!("it is ready") };
    assert_eq!((last, task.requested()), (thread::current().id(), table + 1000));
    drop((task_future, kept));
    assert_eq!((task.requested(), task.stats().blocks), (0, 0));
}

#[test]
fn the_layers_own_memory_is_its_own() {
    begin();
    let busy = group("busy");
    let before = SPANS.requested();
    info_span!("busy", memory_group = "busy").in_scope(|| {
        let spans: [_; 300] = std::array::from_fn(|_| info_span!("many", memory_group = "many"));
        assert_eq!(busy.requested(), 0, "{}", busy.stats());
        let entered = spans.each_ref().map(|span| span.enter());
        assert!(SPANS.requested() > before);
        drop(entered);
        assert_eq!((busy.requested(), group("many").requested()), (0, 0));
    });
    assert_eq!((busy.stats().blocks, busy.stats().allocated), (0, 0));
}

#[test]
fn a_thread_that_ends_in_a_span_leaves_the_group() {
    begin();
    let ends = group("ends");
    for _ in 0..20 {
        let kept = thread::spawn(|| {
            mem::forget(info_span!("ends", memory_group = "ends").entered());
            vec![0_u8; 50]
        });
        let kept = kept.join().expect("it ends");
        // With what the thread itself allocates to the end, and frees.
        assert!(ends.requested() >= 50);
        drop(kept);
    }
    assert!(ends.stats().heaps < 5, "{}", ends.stats());
}
