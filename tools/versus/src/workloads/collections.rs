//! The standard library's collections, as programs use them.

use std::collections::{BTreeMap, HashMap, LinkedList};
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::hint::black_box;

use fastrand::Rng;

use super::Workload;
use super::sizes::Sizes;
use crate::bench::Bench;

/// Entries that a map holds.
const ENTRIES: usize = 50_000;

/// Entries that are replaced in a round.
const REPLACED: usize = 5000;

/// A map whose hashes are the same in every process, as its layout must be.
type FixedMap<K, V> = HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

pub(super) fn workloads() -> Vec<Workload> {
    vec![
        Workload::new(
            "collection/HashMap",
            "a table of sessions: HashMap<String, String> with entries coming and going",
            hash_map,
        ),
        Workload::new(
            "collection/BTreeMap",
            "an index in memory: BTreeMap<String, Vec<u8>> with entries coming and going",
            tree_map,
        ),
        Workload::new(
            "collection/LinkedList",
            "queues made of single nodes, eight of them interleaved",
            linked_lists,
        ),
    ]
}

fn key(number: u32) -> String {
    format!("session-{number:08}")
}

fn value(random: &mut Rng, sizes: &mut Sizes) -> String {
    let letter = char::from(b'a' + random.u8(..26));
    std::iter::repeat_n(letter, sizes.next()).collect()
}

fn hash_map(bench: &mut Bench) {
    let mut random = Rng::with_seed(bench.seed());
    let mut sizes = Sizes::power_law(&mut random, 8, 512);
    let mut map: FixedMap<String, String> = HashMap::default();
    let mut keys: Vec<u32> = (0..ENTRIES as u32).collect();
    for &number in &keys {
        map.insert(key(number), value(&mut random, &mut sizes));
    }
    bench.rounds(REPLACED as u64, || {
        for _ in 0..REPLACED {
            let old = random.usize(..ENTRIES);
            let new = random.u32(..);
            map.remove(&key(keys[old]));
            map.insert(key(new), value(&mut random, &mut sizes));
            keys[old] = new;
        }
    });
    black_box(&map);
}

fn tree_map(bench: &mut Bench) {
    let mut random = Rng::with_seed(bench.seed());
    let mut sizes = Sizes::power_law(&mut random, 16, 1024);
    let mut map: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut keys: Vec<u32> = (0..ENTRIES as u32).collect();
    for &number in &keys {
        map.insert(key(number), vec![1; sizes.next()]);
    }
    bench.rounds(REPLACED as u64, || {
        for _ in 0..REPLACED {
            let old = random.usize(..ENTRIES);
            let new = random.u32(..);
            map.remove(&key(keys[old]));
            map.insert(key(new), vec![1; sizes.next()]);
            keys[old] = new;
        }
    });
    black_box(&map);
}

fn linked_lists(bench: &mut Bench) {
    const LISTS: usize = 8;
    const LENGTH: usize = 2000;
    let mut lists: [LinkedList<[u64; 3]>; LISTS] = Default::default();
    let mut next = 0;
    bench.rounds((LISTS * LENGTH) as u64, || {
        for _ in 0..LENGTH {
            for list in &mut lists {
                next += 1;
                list.push_back([next; 3]);
                // A list that is long enough loses its oldest node.
                if list.len() > LENGTH {
                    black_box(list.pop_front());
                }
            }
        }
    });
}
