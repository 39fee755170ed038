//! Each call to the kernel refused, one at a time, from one on, and by chance: null or a block,
//! live blocks whole, `errno` kept by frees, zeroed memory zero, and afterwards full service and
//! no address space lost.

mod common;

use common::block::{Block, layout};
use common::life::{Baseline, Live, free, full_service, in_threads, recovered};
use common::seed::{random, seed};
use common::{KIB, MIB, child};
use freestone::fault_injection::{Call, allow_all, refuse, refuse_at_random, refused, seen};
use rand::RngExt;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

const CALLS: [Call; 4] = [Call::Map, Call::Unmap, Call::Remap, Call::Advise];
const ERRORS: [i32; 3] = [libc::ENOMEM, libc::EAGAIN, libc::EINVAL];

/// A life for every call of a kind that one makes, with `many` refused from that call on.
fn for_each_call(many: u64) {
    let mut live = Live::new();
    live.run();
    full_service();
    let before = Baseline::now();
    for call in CALLS {
        refuse(call, u64::MAX, 0, libc::ENOMEM);
        live.run();
        let calls = seen(call);
        assert!(calls >= 5, "{call:?} is called {calls} times");
        eprintln!("{call:?}: {calls} calls");
        for number in 0..calls {
            let errno = ERRORS[number as usize % ERRORS.len()];
            refuse(call, number, many, errno);
            live.run();
            let count = refused(call);
            allow_all();
            // What was refused before changes what is called later, so that the last few may not
            // be.
            assert!(count > 0 || number * 2 > calls, "{call:?} number {number} was not refused");
            recovered(before);
        }
    }
}

#[test]
fn one_at_a_time() {
    child::succeeds("one_at_a_time", || for_each_call(1));
}

#[test]
fn from_one_on() {
    child::succeeds("from_one_on", || for_each_call(u64::MAX));
}

/// Blocks come, grow, shrink and go while calls are refused.
fn churn(stream: usize) {
    const LIVE: usize = 60;
    let mut random = random(stream as u64);
    let mut live: [Option<Block>; LIVE] = [const { None }; LIVE];
    for tag in 0..4000 {
        let at = random.random_range(0..LIVE);
        let most = if tag % 10 == 0 { 3 * MIB } else { (16 * KIB) << random.random_range(0..5) };
        let size = random.random_range(1..=most);
        match &mut live[at] {
            Some(block) if random.random_bool(0.4) => {
                let _ = block.try_resize(size);
            }
            place @ Some(_) => place.take().into_iter().for_each(free),
            place => {
                let layout = layout(size, 1 << random.random_range(0..18));
                *place =
                    if tag % 3 == 0 { Block::try_zeroed(layout, tag) } else { Block::try_new(layout, tag) };
            }
        }
        if tag % 1000 == 999 {
            freestone::purge();
        }
    }
    live.into_iter().flatten().for_each(free);
    freestone::purge();
}

fn by_chance(threads: usize) {
    eprintln!("seed {}", seed());
    drop(Live::new());
    in_threads(threads, churn, || {});
    full_service();
    let before = Baseline::now();
    for round in 0..4 {
        // Of ten calls: one or more of each kind, then all of one kind but few others.
        let tenths = [[1, 1, 1, 1], [2, 5, 5, 5], [1, 9, 1, 9], [5, 1, 9, 1]][round];
        in_threads(threads, churn, || {
            for (call, tenths) in CALLS.into_iter().zip(tenths) {
                refuse_at_random(call, u32::MAX / 10 * tenths, ERRORS[round % 3], seed() + round as u64);
            }
        });
        assert!(refused(Call::Map) > 0 && refused(Call::Unmap) > 0 && refused(Call::Advise) > 0);
        allow_all();
        recovered(before);
    }
}

#[test]
fn at_random_in_one_thread() {
    child::succeeds("at_random_in_one_thread", || by_chance(1));
}

#[test]
fn at_random_in_three_threads() {
    child::succeeds("at_random_in_three_threads", || by_chance(3));
}
