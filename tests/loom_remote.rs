//! The lock-free lists by which threads give blocks back to each other, under every order of
//! events that `loom` finds: no block is lost or taken twice, every list that has something is
//! announced once, and an announcement finds its slab's owner also when that changes meanwhile.
//!
//! The models run `src/block/remote_list.rs` itself, on slabs that have only the fields it needs.

use std::cell::Cell;
use std::ptr::{self, NonNull};

use loom::model::Builder;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use loom::thread;

#[path = "../src/block/remote_list.rs"]
#[allow(dead_code, reason = "the models use what the allocator's protocol is made of")]
mod remote_list;

/// The items that `remote_list` uses of its crate.
mod base {
    pub(crate) mod atomic {
        pub(crate) use loom::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
    }
}

use remote_list::{Chain, Published, RemoteList, Stack, Stacked};

/// How often a thread is stopped where it need not be: enough for every fault known of this
/// kind, and few enough for seconds.
const PREEMPTIONS: usize = 3;
/// Blocks of a slab; their offsets are their indices.
const BLOCKS: usize = 4;
/// No offset.
const NOWHERE: u32 = u32::MAX;

fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.check(run);
}

/// A slab as far as remote frees go. The links are where blocks have theirs: ordinary memory,
/// whose every unsynchronised use `loom` reports.
struct Slab {
    links: [loom::cell::Cell<u32>; BLOCKS],
    remote: RemoteList,
    remote_last: AtomicU32,
    below: AtomicPtr<Slab>,
    /// Which of the heaps the slab belongs to.
    home: AtomicUsize,
    /// One more than the offset of a block whose double-free check is deferred to the owner; zero
    /// where there is none.
    deferred: AtomicU32,
}

// SAFETY: the links are touched by whoever has the block; that this is one at a time is what
// the models show.
unsafe impl Sync for Slab {}
// SAFETY: as above.
unsafe impl Send for Slab {}

impl Stacked for Slab {
    fn below(&self) -> &AtomicPtr<Self> {
        &self.below
    }
}

/// The blocks of a slab that have come back to an owner.
#[derive(Default)]
struct Taken(Cell<[bool; BLOCKS]>);

impl Taken {
    fn add(&self, offset: u32) {
        let mut taken = self.0.get();
        assert!(!taken[offset as usize], "block {offset} came back twice");
        taken[offset as usize] = true;
        self.0.set(taken);
    }

    fn count(&self) -> usize {
        self.0.get().into_iter().filter(|taken| *taken).count()
    }
}

impl Slab {
    fn new(home: usize) -> Self {
        Self {
            links: std::array::from_fn(|_| loom::cell::Cell::new(NOWHERE)),
            remote: RemoteList::from_word(AtomicU64::new(0)),
            remote_last: AtomicU32::new(NOWHERE),
            below: AtomicPtr::new(ptr::null_mut()),
            home: AtomicUsize::new(home),
            deferred: AtomicU32::new(0),
        }
    }

    /// As the allocator's `Slab::defer_check`. False where another block waits for its check.
    fn defer_check(&self, offset: u32, heaps: &[Stack<Slab>; 2]) -> bool {
        // The owner reads the block in its check.
        self.links[offset as usize].set(NOWHERE);
        let free = self.deferred.compare_exchange(0, offset + 1, Ordering::Release, Ordering::Relaxed);
        if free.is_ok() && self.remote.mark() == Published::First {
            self.announce(heaps);
        }
        free.is_ok()
    }

    fn announce(&self, heaps: &[Stack<Slab>; 2]) {
        heaps[self.home.load(Ordering::Acquire)].push(NonNull::from(self));
    }

    /// As the allocator's `Slab::publish`: announces the slab at its heap.
    fn publish(&self, chain: &[u32], heaps: &[Stack<Slab>; 2]) {
        for pair in chain.windows(2) {
            self.links[pair[0] as usize].set(pair[1]);
        }
        let [first, .., last] = [chain[0], chain[0], chain[chain.len() - 1]];
        let (published, _) = self.remote.publish(Chain { first, blocks: chain.len() as u32 }, |before| {
            self.links[last as usize].set(before.unwrap_or(NOWHERE));
        });
        if published == Published::First {
            self.remote_last.store(last, Ordering::Relaxed);
            self.announce(heaps);
        }
    }

    /// As the allocator's `Slab::adopt`. The walk is this model's: it reads every link.
    fn adopt(&self, taken: &Taken) {
        let noted = self.remote_last.load(Ordering::Relaxed);
        let remote = self.remote.take();
        assert!(remote.chain.is_some() || remote.marked, "what was announced has something");
        if let Some(chain) = remote.chain {
            let (mut offset, mut last) = (chain.first, NOWHERE);
            for _ in 0..chain.blocks {
                taken.add(offset);
                last = offset;
                offset = self.links[offset as usize].get();
            }
            assert!(remote.marked || last == noted, "the last block is the one noted as such");
            // As the allocator hangs the chain before its own list: the last link is written.
            self.links[last as usize].set(NOWHERE);
        }
        if remote.marked {
            let offset = self.deferred.swap(0, Ordering::Acquire).checked_sub(1).expect("a deferred check");
            // As the allocator checks the block and takes it back.
            self.links[offset as usize].set(0);
            taken.add(offset);
        }
    }
}

/// As the allocator's `Heap::collect`, for the heap that is number `own`: adopts what belongs to
/// it and passes on what has changed hands.
fn collect(own: usize, heaps: &[Stack<Slab>; 2], taken: &Taken) {
    heaps[own].take_all(|slab| {
        // SAFETY: the model's slabs live as long as its threads.
        let slab = unsafe { slab.as_ref() };
        match slab.home.load(Ordering::Acquire) {
            home if home == own => slab.adopt(taken),
            home => heaps[home].push(NonNull::from(slab)),
        }
    });
}

struct World {
    slabs: [Slab; 2],
    heaps: [Stack<Slab>; 2],
}

impl World {
    fn new() -> Arc<Self> {
        let heap = || Stack::from_top(AtomicPtr::new(ptr::null_mut()));
        Arc::new(Self { slabs: [Slab::new(0), Slab::new(0)], heaps: [heap(), heap()] })
    }
}

/// A thread that publishes chains of blocks of a slab, each as a batch.
fn publisher(world: &Arc<World>, slab: usize, chains: &'static [&'static [u32]]) -> thread::JoinHandle<()> {
    let world = world.clone();
    thread::spawn(move || {
        for chain in chains {
            world.slabs[slab].publish(chain, &world.heaps);
        }
    })
}

#[test]
fn two_publishers_and_the_owner() {
    model(|| {
        let world = World::new();
        let threads = [publisher(&world, 0, &[&[0, 1]]), publisher(&world, 0, &[&[2], &[3]])];
        let taken = Taken::default();
        collect(0, &world.heaps, &taken);
        collect(0, &world.heaps, &taken);
        threads.into_iter().for_each(|thread| thread.join().expect("no thread fails"));
        collect(0, &world.heaps, &taken);
        assert_eq!(taken.count(), BLOCKS, "every block came back");
        assert!(world.heaps[0].is_empty() && world.slabs[0].remote.take().chain.is_none());
    });
}

/// Announcements of different slabs to one heap, while it takes them.
#[test]
fn two_slabs_announced_to_one_heap() {
    model(|| {
        let world = World::new();
        let threads = [publisher(&world, 0, &[&[0], &[1]]), publisher(&world, 1, &[&[2], &[3]])];
        let taken = Taken::default();
        collect(0, &world.heaps, &taken);
        threads.into_iter().for_each(|thread| thread.join().expect("no thread fails"));
        collect(0, &world.heaps, &taken);
        assert_eq!(taken.count(), BLOCKS, "every block came back");
    });
}

/// A block whose check is deferred comes back as surely as others, alone or beside them.
#[test]
fn a_block_whose_check_is_deferred() {
    model(|| {
        let world = World::new();
        let deferrer = {
            let world = world.clone();
            thread::spawn(move || {
                if !world.slabs[0].defer_check(3, &world.heaps) {
                    world.slabs[0].publish(&[3], &world.heaps);
                }
                if !world.slabs[0].defer_check(2, &world.heaps) {
                    world.slabs[0].publish(&[2], &world.heaps);
                }
            })
        };
        let publisher = publisher(&world, 0, &[&[0, 1]]);
        let taken = Taken::default();
        collect(0, &world.heaps, &taken);
        collect(0, &world.heaps, &taken);
        deferrer.join().expect("no thread fails");
        publisher.join().expect("no thread fails");
        collect(0, &world.heaps, &taken);
        assert_eq!(taken.count(), BLOCKS, "every block came back");
        assert_eq!(world.slabs[0].deferred.load(Ordering::Relaxed), 0);
    });
}

/// The owner ends and leaves its slab to the other heap while blocks are being published:
/// announcements to the old home are passed on, and nothing is lost on the way.
#[test]
fn a_slab_changes_hands() {
    model(|| {
        let world = World::new();
        let publisher = publisher(&world, 0, &[&[0, 1], &[2]]);
        let heir = {
            let world = world.clone();
            thread::spawn(move || {
                let taken = Taken::default();
                collect(1, &world.heaps, &taken);
                taken.count()
            })
        };
        let taken = Taken::default();
        collect(0, &world.heaps, &taken);
        world.slabs[0].home.store(1, Ordering::Release);
        collect(0, &world.heaps, &taken);
        let by_heir = heir.join().expect("no thread fails");
        publisher.join().expect("no thread fails");
        // Late announcements to the old home are passed on by its next user, and the heir goes on.
        let late = Taken::default();
        collect(0, &world.heaps, &late);
        collect(1, &world.heaps, &late);
        assert_eq!(taken.count() + by_heir + late.count(), 3, "every block came back, to one of the two");
        assert!(world.heaps.iter().all(Stack::is_empty));
    });
}

/// The slab comes to the other heap and back: an announcement may be passed on twice.
#[test]
fn a_slab_changes_hands_twice() {
    model(|| {
        let world = World::new();
        let publisher = publisher(&world, 0, &[&[0], &[1]]);
        let other = {
            let world = world.clone();
            thread::spawn(move || {
                let taken = Taken::default();
                collect(1, &world.heaps, &taken);
                // Only who has the slab may give it away.
                if world.slabs[0].home.load(Ordering::Acquire) == 1 {
                    world.slabs[0].home.store(0, Ordering::Release);
                }
                collect(1, &world.heaps, &taken);
                taken.count()
            })
        };
        world.slabs[0].home.store(1, Ordering::Release);
        let early = Taken::default();
        collect(0, &world.heaps, &early);
        let by_other = other.join().expect("no thread fails");
        publisher.join().expect("no thread fails");
        let late = Taken::default();
        for heap in [1, 0, 1] {
            collect(heap, &world.heaps, &late);
        }
        assert_eq!(early.count() + by_other + late.count(), 2, "every block came back once");
    });
}

/// A partial slab as a helper sees it: as the allocator's `Slab::is_unheld`, with the owner's
/// count.
struct Partial {
    slab: Slab,
    /// Minus the used blocks, as the owner counts.
    count: loom::sync::atomic::AtomicI32,
    /// Stands for the slab's free list, which its owner writes before it counts.
    list: loom::cell::Cell<u32>,
}

/// The owner frees its last block of a partial slab while others publish theirs: once a helper sees
/// the counts equal, nobody touches the slab any more, and what was done to it is seen.
#[test]
fn a_helper_takes_a_slab_of_which_nobody_holds_a_block() {
    model(|| {
        let world = World::new();
        let partial = Arc::new(Partial {
            slab: Slab::new(0),
            count: loom::sync::atomic::AtomicI32::new(-3),
            list: loom::cell::Cell::new(NOWHERE),
        });
        let owner = {
            let partial = partial.clone();
            thread::spawn(move || {
                partial.list.set(0);
                let count = partial.count.load(Ordering::Relaxed);
                partial.count.store(count + 1, Ordering::Release);
            })
        };
        let publisher = {
            let (world, partial) = (world.clone(), partial.clone());
            thread::spawn(move || {
                partial.slab.publish(&[1], &world.heaps);
                partial.slab.publish(&[2], &world.heaps);
            })
        };
        let help = || {
            let used = partial.count.load(Ordering::Acquire).unsigned_abs();
            let taken = Taken::default();
            let mut is_taken = false;
            world.heaps[0].take_all(|slab| {
                // SAFETY: the model's slabs live as long as its threads.
                if unsafe { slab.as_ref() }.remote.peek().is_some_and(|chain| chain.blocks == used) {
                    partial.slab.adopt(&taken);
                    // The slab is the helper's: it may write what was the owner's.
                    assert_eq!(partial.list.get(), 0, "the owner has freed its block");
                    partial.list.set(NOWHERE);
                    is_taken = true;
                } else {
                    world.heaps[1].push(slab);
                }
            });
            assert!(!is_taken || taken.count() == 2, "all blocks that others held came back");
            is_taken
        };
        // The slab that was passed over is tried again.
        let again = || {
            world.heaps[1].take_all(|slab| world.heaps[0].push(slab));
            help()
        };
        let early = help();
        publisher.join().expect("no thread fails");
        let is_taken = early || again();
        owner.join().expect("no thread fails");
        assert!(is_taken || again(), "nobody holds a block of it now");
    });
}
