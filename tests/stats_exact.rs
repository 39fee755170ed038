//! After a million random operations through both doors, of four threads that hand blocks over to
//! each other, once all is quiet, the statistics agree with a shadow count to the byte; by heap,
//! too.

mod common;

use std::alloc::{Layout, alloc, dealloc, realloc};
use std::sync::{Barrier, Mutex};
use std::thread;

use common::seed::random;
use freestone::stats::{HeapUser, ThreadStats};
use freestone::untyped;
use rand::{Rng, RngExt};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

const THREADS: usize = 4;
const OPERATIONS: usize = 250_000;
const PLACES: usize = 400;
/// Beyond, blocks are OS pages.
const LARGEST_SMALL: usize = 1 << 20;

/// Through which a block has come, and goes.
#[derive(Clone, Copy, PartialEq)]
enum Door {
    /// `GlobalAlloc`, which counts the bytes asked for.
    Rust,
    /// That without a layout.
    Untyped,
}

#[derive(Clone, Copy)]
struct Block {
    address: usize,
    layout: Layout,
    door: Door,
    /// Bytes that it has.
    rounded: usize,
}

type Place = Option<Block>;

static EXCHANGE: [Mutex<Place>; 64] = [const { Mutex::new(None) }; 64];

impl Block {
    fn new(layout: Layout, door: Door) -> Self {
        let start = match door {
            // SAFETY: the size is not zero.
            Door::Rust => unsafe { alloc(layout) },
            Door::Untyped => untyped::allocate_aligned(layout.size(), layout.align()),
        };
        assert!(!start.is_null());
        Self { address: start.expose_provenance(), layout, door, rounded: rounded(layout, door) }
    }

    fn start(self) -> *mut u8 {
        std::ptr::with_exposed_provenance_mut(self.address)
    }

    fn resized(self, size: usize) -> Self {
        let start = match self.door {
            // SAFETY: the block is live with this layout, and its only holder resizes it.
            Door::Rust => unsafe { realloc(self.start(), self.layout, size) },
            // SAFETY: as above.
            Door::Untyped => unsafe { untyped::reallocate(self.start(), size) },
        };
        assert!(!start.is_null());
        // Without a layout an alignment does not last.
        let align = if self.door == Door::Rust { self.layout.align() } else { 1 };
        let layout = Layout::from_size_align(size, align).expect("a valid layout");
        let rounded = self.rounded_after(start, layout);
        Self { address: start.expose_provenance(), layout, door: self.door, rounded }
    }

    /// Bytes that the block has, resized to `layout`, at `start`. Where one stays that shrinks, and
    /// how much room one gets that grows, is the allocator's choice: the block itself says.
    fn rounded_after(self, start: *mut u8, layout: Layout) -> usize {
        // SAFETY: the block is live.
        let (room, least) = (unsafe { untyped::usable_size(start) }, rounded(layout, self.door));
        if room > LARGEST_SMALL {
            // From the beginning of its first page.
            return room + start.addr() % 4096;
        }
        if SEAL == 0 {
            assert!(room >= least, "{room} bytes for {layout:?}");
            return room;
        }
        // Without a layout a block stays that still fits and is not half empty.
        let stays = self.rounded - SEAL >= layout.size() && layout.size() > (self.rounded - SEAL) / 2;
        if self.door == Door::Untyped && stays { self.rounded } else { least }
    }

    fn free(self) {
        match self.door {
            // SAFETY: the block was allocated with this layout, and its only holder gives it up.
            Door::Rust => unsafe { dealloc(self.start(), self.layout) },
            // SAFETY: as above.
            Door::Untyped => unsafe { untyped::free(self.start()) },
        }
    }

    /// Bytes asked for through the door that counts them.
    fn asked(self) -> usize {
        if self.door == Door::Rust { self.layout.size() } else { 0 }
    }
}

/// Bytes of a small block that are the allocator's.
const SEAL: usize = if cfg!(feature = "secure") { 8 } else { 0 };

/// Whether static programs' panics need blocks aligned to 16, which leaves no class of 56 bytes and
/// makes one of 72.
const WITHOUT_56: bool = cfg!(all(target_arch = "x86_64", not(target_env = "gnu")));

/// The bytes that a block gets, by the documented table: steps of 8 to 64, of 16 to 128, then eight
/// a doubling to 1 MiB, then OS pages. Without a layout, multiples of 16.
fn rounded(layout: Layout, door: Door) -> usize {
    let least = if door == Door::Rust { 1 } else { untyped::MIN_ALIGN };
    let is_small = layout.size() <= LARGEST_SMALL - SEAL;
    let size = (layout.size() + if is_small { SEAL } else { 0 }).next_multiple_of(layout.align().max(least));
    match size {
        0..=16 => 16,
        49..=56 if WITHOUT_56 => 64,
        65..=72 if WITHOUT_56 => 72,
        17..=64 => size.next_multiple_of(8),
        65..=128 => size.next_multiple_of(16),
        129..=LARGEST_SMALL => size.next_multiple_of(size.next_power_of_two() / 16),
        _ => size.next_multiple_of(4096),
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
            let door = if random.random_range(0..3) == 0 { Door::Untyped } else { Door::Rust };
            places[at] = Some(Block::new(some_layout(random), door));
        }
        (Some(block), 1..4) => places[at] = Some(block.resized(some_layout(random).size())),
        (Some(block), _) => {
            block.free();
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
                    let sum: usize = places.iter().flatten().map(|block| block.rounded).sum();
                    let asked: usize = places.iter().flatten().map(|block| block.asked()).sum();
                    // The main thread looks.
                    barrier.wait();
                    barrier.wait();
                    places.iter_mut().filter_map(Option::take).for_each(Block::free);
                    settle(barrier);
                    // The main thread looks again.
                    barrier.wait();
                    barrier.wait();
                    (sum, asked)
                })
            })
            .collect();
        let mut heaps = [ThreadStats::default(); 64];
        settle(&barrier);
        barrier.wait();
        let full = freestone::stats();
        let count = freestone::stats::heap_stats(&mut heaps);
        barrier.wait();
        let exchanged: Vec<Place> =
            EXCHANGE.iter().map(|place| place.lock().expect("nobody panics").take()).collect();
        let held: usize = exchanged.iter().flatten().map(|block| block.rounded).sum();
        let held_asked: usize = exchanged.iter().flatten().map(|block| block.asked()).sum();
        exchanged.iter().flatten().for_each(|block| block.free());
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
        assert_eq!(full.requested - freed.requested, asked);
        assert_eq!(full.allocated - freed.allocated, live);
        assert_eq!(full.since(&freed).allocated, i64::try_from(live).expect("fits"));

        let by_class: usize = full.classes().map(|class| class.used * class.block).sum();
        assert_eq!(by_class + full.large, full.allocated);
        let by_heap: usize = heaps.iter().take(count).map(|heap| heap.allocated).sum();
        assert_eq!(by_heap + full.large, full.allocated);
        let threads = heaps.iter().filter(|heap| matches!(heap.user, HeapUser::Thread(_))).count();
        assert!(threads > THREADS, "{threads}");
        assert_eq!(heaps[0].user, HeapUser::Shared);
        assert!(
            heaps[0].to_string().starts_with("shared ") && heaps[1].to_string().contains(" blocks, slabs")
        );
        let remote: u64 = heaps.iter().take(count).map(|heap| heap.remote_frees).sum();
        assert!(remote > 0, "the exchange has blocks freed by other threads");
        assert_eq!(remote, full.classes().map(|class| class.remote_frees).sum::<u64>());
    });
}
