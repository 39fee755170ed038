//! After a million random operations of four threads that hand blocks over to each other, once all
//! is quiet, the statistics agree with a shadow count to the byte; by heap, too.

mod common;

use std::alloc::{Layout, alloc, dealloc, realloc};
use std::sync::{Barrier, Mutex};
use std::thread;

use common::seed::random;
use freestone::{HeapStats, HeapUser};
use rand::{Rng, RngExt};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

const THREADS: usize = 4;
const OPERATIONS: usize = 250_000;
const PLACES: usize = 400;

/// A block, as address and layout; or none.
type Place = Option<(usize, Layout)>;

static EXCHANGE: [Mutex<Place>; 64] = [const { Mutex::new(None) }; 64];

/// The block that a layout gets, by the documented table: steps of 8 to 64, of 16 to 128, then
/// eight a doubling to 1 MiB, then OS pages.
fn rounded(layout: Layout) -> usize {
    let size = layout.size().next_multiple_of(layout.align());
    match size {
        0..=16 => 16,
        17..=64 => size.next_multiple_of(8),
        65..=128 => size.next_multiple_of(16),
        129..=1_048_576 => size.next_multiple_of(size.next_power_of_two() / 16),
        _ => size.next_multiple_of(4096),
    }
}

fn free(place: Place) {
    if let Some((address, layout)) = place {
        // SAFETY: the block was allocated with this layout, and its only holder gives it up.
        unsafe { dealloc(std::ptr::with_exposed_provenance_mut(address), layout) }
    }
}

fn some_layout(random: &mut impl Rng) -> Layout {
    let size = match random.random_range(0..1000) {
        0 => random.random_range(1 << 20..3 << 20),
        1..50 => random.random_range(4096..100_000),
        _ => random.random_range(1..2000),
    };
    let align = 1 << random.random_range(0..8);
    Layout::from_size_align(size, align).expect("a valid layout")
}

fn operate(places: &mut [Place], random: &mut impl Rng) {
    let at = random.random_range(0..places.len());
    match (places[at], random.random_range(0..10)) {
        (_, 0) => {
            let other = &EXCHANGE[random.random_range(0..EXCHANGE.len())];
            std::mem::swap(&mut *other.lock().expect("nobody panics"), &mut places[at]);
        }
        (None, _) => {
            let layout = some_layout(random);
            // SAFETY: the size is not zero.
            let start = unsafe { alloc(layout) };
            assert!(!start.is_null());
            places[at] = Some((start.expose_provenance(), layout));
        }
        (Some((address, layout)), 1..4) => {
            let size = some_layout(random).size();
            let new = Layout::from_size_align(size, layout.align()).expect("a valid layout");
            // SAFETY: the block is live with this layout.
            let start = unsafe { realloc(std::ptr::with_exposed_provenance_mut(address), layout, size) };
            assert!(!start.is_null());
            places[at] = Some((start.expose_provenance(), new));
        }
        (place, _) => {
            free(place);
            places[at] = None;
        }
    }
}

/// Brings every block that is on its way back home: published first, adopted then.
fn settle(barrier: &Barrier) {
    for _ in 0..2 {
        freestone::thread_idle();
        barrier.wait();
    }
}

fn main() {
    let barrier = Barrier::new(THREADS + 1);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|stream| {
                let barrier = &barrier;
                scope.spawn(move || {
                    let mut places: Vec<Place> = vec![None; PLACES];
                    let mut random = random(stream as u64);
                    for _ in 0..OPERATIONS {
                        operate(&mut places, &mut random);
                    }
                    settle(barrier);
                    let sum: usize = places.iter().flatten().map(|(_, layout)| rounded(*layout)).sum();
                    let asked: usize = places.iter().flatten().map(|(_, layout)| layout.size()).sum();
                    // The main thread looks.
                    barrier.wait();
                    barrier.wait();
                    places.iter_mut().for_each(|place| free(place.take()));
                    settle(barrier);
                    // The main thread looks again.
                    barrier.wait();
                    barrier.wait();
                    (sum, asked)
                })
            })
            .collect();
        let mut heaps = [HeapStats::default(); 64];
        settle(&barrier);
        barrier.wait();
        let full = freestone::stats();
        let count = freestone::heap_stats(&mut heaps);
        barrier.wait();
        let exchanged: Vec<Place> =
            EXCHANGE.iter().map(|place| place.lock().expect("nobody panics").take()).collect();
        let held: usize = exchanged.iter().flatten().map(|(_, layout)| rounded(*layout)).sum();
        let held_asked: usize = exchanged.iter().flatten().map(|(_, layout)| layout.size()).sum();
        exchanged.iter().for_each(|place| free(*place));
        drop(exchanged);
        settle(&barrier);
        barrier.wait();
        let freed = freestone::stats();
        barrier.wait();

        let (live, asked) = workers.into_iter().fold((held, held_asked), |sums, worker| {
            let (rounded, asked) = worker.join().expect("no worker fails");
            (sums.0 + rounded, sums.1 + asked)
        });
        assert!(live > 1 << 20, "{live}");
        assert_eq!(full.asked - freed.asked, asked);
        assert_eq!(full.allocated - freed.allocated, live);
        assert_eq!(full.since(&freed).allocated, i64::try_from(live).expect("fits"));

        let by_class: usize = full.classes().map(|class| class.used * class.block).sum();
        assert_eq!(by_class + full.large, full.allocated);
        let by_heap: usize = heaps.iter().take(count).map(|heap| heap.allocated).sum();
        assert_eq!(by_heap + full.large, full.allocated);
        let threads = heaps.iter().filter(|heap| matches!(heap.user, HeapUser::Thread(_))).count();
        assert!(threads > THREADS, "{threads}");
        assert_eq!(heaps[0].user, HeapUser::Shared);
        let remote: u64 = heaps.iter().take(count).map(|heap| heap.remote_frees).sum();
        assert!(remote > 0, "the exchange has blocks freed by other threads");
        assert_eq!(remote, full.classes().map(|class| class.remote_frees).sum::<u64>());
    });
}
