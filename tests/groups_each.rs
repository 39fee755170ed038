//! Groups are found by a walk, whoever makes and ends them meanwhile, and in the heap's picture.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use freestone::groups::{self, Group};
use freestone::inspect::{Piece, UnitPicture, heap_map};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

/// Waits until the groups that live and whose names begin with `each ` are these: another test's
/// walk may have a handle.
fn expect_each(expected: &[&str]) {
    let mut names = Vec::new();
    for _ in 0..1000 {
        names.clear();
        groups::each(|group| names.extend(Some(group.to_string()).filter(|name| name.starts_with("each "))));
        names.sort();
        if names == expected {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
    panic!("{names:?}, not {expected:?}");
}

#[test]
fn each_finds_what_has_a_handle_or_blocks() {
    let (one, two) = (Group::create("each 1"), Group::create("each 2"));
    let kept = two.enter(|| Box::new(1_u64));
    let ids = [&one, &two].map(Group::id);
    assert!(ids[0].is_some() && ids[0] != ids[1] && one.clone().id() == ids[0]);
    expect_each(&["each 1", "each 2"]);
    drop((one, two));
    expect_each(&["each 2"]);
    groups::each(|group| {
        if group.id() == ids[1] {
            assert_eq!((group.requested(), group.stats().blocks), (8, 1));
        }
    });
    drop(kept);
    // Freed from outside: it waits in this thread's outbox.
    freestone::purge();
    expect_each(&[]);
}

#[test]
fn a_walk_meets_groups_that_are_made_and_end() {
    let (is_done, has_met) = (AtomicBool::new(false), &AtomicBool::new(false));
    let stays = Group::create("walk, stays");
    let kept: Vec<Box<usize>> = thread::scope(|scope| {
        let makers: Vec<_> = (0..2_usize)
            .map(|maker| {
                scope.spawn(move || {
                    for round in 0.. {
                        if round >= 3000 && has_met.load(Ordering::Relaxed) {
                            break;
                        }
                        let group = Group::create(&format!("walk {maker} {round}"));
                        let block = group.enter(|| Box::new(round));
                        drop(group);
                        drop(block);
                    }
                })
            })
            .collect();
        let walker = || {
            let mut kept = Vec::new();
            let mut is_last = false;
            while !is_last {
                is_last = is_done.load(Ordering::Relaxed);
                let mut times = 0;
                groups::each(|group| {
                    let name = group.to_string();
                    times += u32::from(name == "walk, stays");
                    // What is allocated in a group without another handle keeps it.
                    if name.starts_with("walk ") && kept.len() < 500 {
                        let before = kept.len();
                        kept.push((name, group.enter(|| Box::new(before))));
                        has_met.store(true, Ordering::Relaxed);
                        assert!(group.requested() >= 8, "{}", group.stats());
                    }
                });
                assert_eq!(times, 1);
            }
            kept
        };
        let walkers = [scope.spawn(walker), scope.spawn(walker)];
        makers.into_iter().for_each(|maker| maker.join().expect("it ends"));
        is_done.store(true, Ordering::Relaxed);
        let kept: Vec<_> = walkers.into_iter().flat_map(|walker| walker.join().expect("it ends")).collect();
        let mut expected: Vec<&String> = kept.iter().map(|(name, _)| name).collect();
        expected.sort();
        let mut found = Vec::new();
        groups::each(|group| {
            if group.to_string().starts_with("walk ") {
                found.extend((0..group.requested() / 8).map(|_| group.to_string()));
                assert_eq!((group.requested() % 8, group.requested() / 8), (0, group.stats().blocks));
            }
        });
        found.sort();
        assert!(expected.into_iter().eq(&found), "each block is its group's, under its name");
        kept.into_iter().map(|(_, block)| block).collect()
    });
    assert!(!kept.is_empty());
    drop(kept);
    assert_eq!(stays.requested(), 0);
}

#[test]
fn the_picture_says_whose_a_slab_and_a_large_block_are() {
    let group = Group::create("drawn");
    let small = group.enter(|| (0..1000_u64).map(Box::new).collect::<Vec<_>>());
    let large = group.enter(|| Vec::<u8>::with_capacity(5 << 20));
    let (mut bytes, mut large_bytes) = (0, 0);
    heap_map(|piece| match piece {
        Piece::Chunk(chunk) => {
            for unit in chunk.units() {
                if let UnitPicture::Slab(slab) = unit
                    && slab.group == group.id()
                {
                    bytes += slab.used * slab.block;
                }
            }
        }
        Piece::Large { bytes, group: owner, .. } if owner == group.id() => large_bytes += bytes,
        _ => {}
    });
    let stats = group.stats();
    assert_eq!((bytes, large_bytes), (stats.allocated - stats.large, stats.large), "{stats}");
    assert!(bytes >= 16_000 && large_bytes >= 5 << 20);
    drop((small, large));
}
