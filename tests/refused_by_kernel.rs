//! The kernel itself refuses: system calls forbidden by seccomp, the limits on data, on locked
//! memory and on mappings reached. Null or a block, live blocks whole, and, once the cause is
//! gone, full service and no address space lost.

mod common;

use std::ffi::c_long;
use std::ptr;

use common::block::{Block, layout};
use common::life::{Baseline, Live, free, full_service, recovered};
use common::memory::page_bytes;
use common::seccomp;
use common::{GIB, KIB, LARGEST_SMALL, MIB, border_sizes, child, skip};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

/// From now on `call` fails with `errno` in the calling thread.
fn forbid(call: c_long, errno: i32) {
    seccomp::refuse(call, errno).expect("a thread may have a filter");
}

/// A thread for which `call` is forbidden lives; the others, for which it is not, find
/// everything as it was.
fn lives_without(test: &str, call: c_long, errno: i32) {
    child::succeeds(test, || {
        let mut live = Live::new();
        live.run();
        std::thread::spawn(|| {}).join().expect("a thread");
        let mut before = Baseline::now();
        if call == libc::SYS_munmap {
            // The thread's signal stack, which `std` cannot unmap either.
            before.mapped += 8 * page_bytes();
        }
        std::thread::spawn(move || {
            forbid(call, errno);
            for _ in 0..3 {
                live.run();
            }
        })
        .join()
        .expect("the thread lives");
        recovered(before);
    });
}

#[test]
fn mmap() {
    lives_without("mmap", libc::SYS_mmap, libc::EPERM);
}

#[test]
fn mremap() {
    lives_without("mremap", libc::SYS_mremap, libc::ENOSYS);
}

/// The errno that a true lack of memory would have.
#[test]
fn mremap_as_if_out_of_memory() {
    lives_without("mremap_as_if_out_of_memory", libc::SYS_mremap, libc::ENOMEM);
}

#[test]
fn munmap() {
    lives_without("munmap", libc::SYS_munmap, libc::ENOMEM);
}

#[test]
fn madvise() {
    lives_without("madvise", libc::SYS_madvise, libc::EINVAL);
}

#[test]
fn madvise_for_now() {
    lives_without("madvise_for_now", libc::SYS_madvise, libc::EAGAIN);
}

/// Without `mremap` a block that grows is copied; without `mmap` too there is none.
#[test]
fn growth_without_mremap_copies() {
    child::succeeds("growth_without_mremap_copies", || {
        let mut block = Block::new(layout(2 * MIB, 1), 1);
        let mut aligned = Block::new(layout(2 * MIB, 4 * MIB), 1);
        forbid(libc::SYS_mremap, libc::EPERM);
        let copied = freestone::stats().copied_total;
        block.resize(5 * MIB);
        aligned.resize(5 * MIB);
        assert!(freestone::stats().copied_total >= copied + 4 * MIB as u64);
        forbid(libc::SYS_mmap, libc::EPERM);
        assert!(!block.try_resize(50 * MIB) && !aligned.try_resize(50 * MIB));
        block.check();
        aligned.check();
        assert_eq!(freestone::stats().lost_total, 0);
    });
}

/// The type that names a limit, which each C library chooses.
#[cfg(target_env = "gnu")]
type Resource = libc::__rlimit_resource_t;
#[cfg(not(target_env = "gnu"))]
type Resource = libc::c_int;

fn set_limit(resource: Resource, bytes: libc::rlim_t) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure is writable for the call.
    assert_eq!(unsafe { libc::getrlimit(resource, &raw mut limit) }, 0);
    limit.rlim_cur = bytes.min(limit.rlim_max);
    // SAFETY: the structure is readable for the call.
    assert_eq!(unsafe { libc::setrlimit(resource, &raw const limit) }, 0);
}

/// Takes blocks of `size` until there are none, at most as many as there is room to note.
fn exhaust(blocks: &mut Vec<Block>, size: usize) {
    while blocks.len() < blocks.capacity()
        && let Some(block) = Block::try_new(layout(size, 1), blocks.len())
    {
        blocks.push(block);
    }
    assert!(blocks.len() < blocks.capacity(), "the limit does not limit");
}

/// Exhausted by one size after another, all memory comes back for every other.
fn exhausted_by_each_size(blocks: &mut Vec<Block>) {
    for size in border_sizes(LARGEST_SMALL).into_iter().step_by(29).chain([MIB + 1, 5 * MIB]) {
        for coarse in [3 * MIB, 100 * KIB, 9 * KIB, size] {
            exhaust(blocks, coarse);
        }
        let block = blocks.first_mut().expect("there was some memory");
        assert!(!block.try_resize(300 * MIB), "more than the limit was had");
        blocks.iter().for_each(Block::check);
        blocks.drain(..).for_each(free);
        full_service();
    }
}

/// The same with little memory.
fn exhausted_by_small_sizes(blocks: &mut Vec<Block>) {
    for size in [100 * KIB, 9 * KIB, 200, 700 * KIB] {
        exhaust(blocks, size);
        assert!(blocks.len() * size > MIB, "{} blocks of {size} were had", blocks.len());
        let block = blocks.first_mut().expect("there was some memory");
        assert!(!block.try_resize(30 * MIB), "more than the limit was had");
        blocks.iter().for_each(Block::check);
        blocks.drain(..).for_each(free);
    }
}

#[test]
fn limit_on_data() {
    child::succeeds("limit_on_data", || {
        let mut blocks = Vec::with_capacity(300_000);
        drop(Live::new());
        full_service();
        let before = Baseline::now();
        set_limit(libc::RLIMIT_DATA, (before.mapped + 48 * MIB) as libc::rlim_t);
        exhausted_by_each_size(&mut blocks);
        set_limit(libc::RLIMIT_DATA, libc::RLIM_INFINITY);
        recovered(before);
    });
}

/// Every page locked as it is mapped: no advice but an explicit one works, and the limit on
/// locked memory limits mappings.
#[test]
fn limit_on_locked_memory() {
    child::succeeds("limit_on_locked_memory", || {
        let mut blocks = Vec::with_capacity(300_000);
        let mut live = Live::new();
        live.run();
        full_service();
        let before = Baseline::now();
        let most = most_locked();
        give_up_privileges();
        // SAFETY: no preconditions.
        if unsafe { libc::mlockall(libc::MCL_FUTURE) } != 0 {
            skip!("locked memory: mlockall says {}", std::io::Error::last_os_error());
        }
        live.run();
        set_limit(libc::RLIMIT_MEMLOCK, most.min(40 * MIB) as libc::rlim_t);
        if most >= 40 * MIB {
            exhausted_by_each_size(&mut blocks);
        } else {
            // An ordinary user may lock too little for full service meanwhile.
            exhausted_by_small_sizes(&mut blocks);
        }
        live.run();
        // SAFETY: no preconditions.
        assert_eq!(unsafe { libc::munlockall() }, 0);
        recovered(before);
    });
}

/// Bytes that this process may lock; root is given what the test needs.
fn most_locked() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: no preconditions.
    if unsafe { libc::geteuid() } == 0 {
        limit = libc::rlimit { rlim_cur: GIB as libc::rlim_t, rlim_max: GIB as libc::rlim_t };
        // Where even root may not, the rest of the test is shorter.
        // SAFETY: the structure is readable for the call.
        unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) };
    }
    // SAFETY: the structure is writable for the call.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) }, 0);
    set_limit(libc::RLIMIT_MEMLOCK, limit.rlim_max);
    limit.rlim_max as usize
}

/// No limit on locked memory holds for root.
fn give_up_privileges() {
    // SAFETY: no preconditions.
    if unsafe { libc::geteuid() } == 0 {
        // SAFETY: no preconditions.
        assert_eq!(unsafe { libc::setuid(65_534) }, 0);
    }
}

/// Every mapping that a process may have, but for `spare`.
struct Crowd {
    start: *mut libc::c_void,
    bytes: usize,
}

impl Crowd {
    fn new(most: usize) -> Self {
        let bytes = 3 * most * page_bytes();
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping, nobody else's.
        let start = unsafe { libc::mmap(ptr::null_mut(), bytes, libc::PROT_NONE, flags, -1, 0) };
        assert_ne!(start, libc::MAP_FAILED);
        Self { start, bytes }
    }

    /// Pages that differ from their neighbours, so that each is a mapping, until there can be
    /// no more; then `spare` are made like their neighbours again.
    fn fill(&self, spare: usize) -> usize {
        let mut mappings = 0;
        while self.protect(mappings, libc::PROT_READ) {
            mappings += 1;
        }
        for mapping in mappings.saturating_sub(spare)..mappings {
            assert!(self.protect(mapping, libc::PROT_NONE));
        }
        2 * mappings
    }

    fn protect(&self, mapping: usize, protection: i32) -> bool {
        let page = (2 * mapping + 1) * page_bytes();
        assert!(page < self.bytes, "the limit on mappings was not reached");
        // SAFETY: the page lies in the crowd's own mapping.
        unsafe { libc::mprotect(self.start.byte_add(page), page_bytes(), protection) == 0 }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own.
        assert_eq!(unsafe { libc::munmap(self.start, self.bytes) }, 0);
    }
}

#[test]
fn limit_on_mappings() {
    child::succeeds("limit_on_mappings", || {
        let limit = std::fs::read_to_string("/proc/sys/vm/max_map_count").expect("Linux has it");
        let limit: usize = limit.trim().parse().expect("a number");
        if limit > 1 << 20 {
            skip!("{limit} mappings are too many to make");
        }
        let mut live = Live::new();
        live.run();
        full_service();
        let before = Baseline::now();
        let crowd = Crowd::new(limit);
        for spare in [0, 1, 2, 3, 7, 20] {
            let held: [Option<Block>; 40] =
                std::array::from_fn(|number| Block::try_new(layout(MIB + 1 + number * 100 * KIB, 1), number));
            let made = crowd.fill(spare);
            assert!(made + 100 > limit - 2 * spare - 200, "{made} mappings of {limit}");
            live.run();
            // The middles of what was one mapping: to unmap one is to split it.
            for block in held.into_iter().flatten().step_by(2) {
                free(block);
            }
            live.run();
            for mapping in 0..made / 2 {
                crowd.protect(mapping, libc::PROT_NONE);
            }
        }
        drop(crowd);
        recovered(before);
    });
}
