//! The collections of `std` on the allocator hold what a model says that they hold.

mod common;

use std::cell::RefCell;
use std::collections::{BTreeMap, BinaryHeap, HashMap, LinkedList, VecDeque};
use std::rc::{Rc, Weak};
use std::sync::{Arc, Mutex};
use std::thread;

use common::seed::random;
use rand::rngs::StdRng;
use rand::{Rng, RngExt};

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

const STEPS: usize = 30_000;

/// What the value of a key must be: derived, so that the model needs no memory of its own.
fn text_of(key: u64) -> String {
    format!("{key:x}").repeat(1 + key as usize % 40)
}

#[test]
fn vectors_and_strings() {
    let mut random = random(1);
    let mut vectors: Vec<Vec<u64>> = vec![Vec::new(); 50];
    let mut texts = vec![String::new(); 50];
    for step in 0..STEPS as u64 {
        let at = random.random_range(0..50);
        let vector = &mut vectors[at];
        match random.random_range(0..20) {
            0 => *vector = Vec::new(),
            1 => vector.shrink_to_fit(),
            2 => *vector = vector.clone().into_boxed_slice().into_vec(),
            _ => vector.extend((vector.len() as u64..).map(|index| index * 7).take(step as usize % 97)),
        }
        let text = &mut texts[at];
        let key = text.len() as u64;
        if text.len() > 50_000 { text.clear() } else { text.push_str(&text_of(key)) }
    }
    for vector in &vectors {
        assert!(vector.iter().enumerate().all(|(index, value)| *value == index as u64 * 7));
    }
    for text in &texts {
        let mut rest = text.as_str();
        while let Some(piece) = Some(text_of((text.len() - rest.len()) as u64)).filter(|_| !rest.is_empty()) {
            rest = rest.strip_prefix(piece.as_str()).expect("the text is what was pushed");
        }
    }
}

/// The same operations on a hash map and on a tree, which check each other.
fn agree(random: &mut StdRng) {
    let (mut hashed, mut sorted) = (HashMap::new(), BTreeMap::new());
    for _ in 0..STEPS {
        let key = random.next_u64() % 4000;
        if random.random_range(0..5) < 3 {
            assert_eq!(hashed.insert(key, text_of(key)), sorted.insert(key, text_of(key)));
        } else {
            assert_eq!(hashed.remove(&key), sorted.remove(&key));
        }
    }
    assert_eq!(hashed.len(), sorted.len());
    for (key, text) in &sorted {
        assert_eq!((hashed.get(key), text), (Some(text), &text_of(*key)));
    }
}

#[test]
fn maps_on_one_thread() {
    agree(&mut random(2));
}

#[test]
fn maps_on_many_threads() {
    let threads = (10..14).map(|stream| thread::spawn(move || agree(&mut random(stream))));
    threads.collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().expect("no thread fails"));
}

/// Three queues with the same numbers in them.
#[test]
fn queues() {
    let mut random = random(3);
    let (mut ring, mut list, mut heap) = (VecDeque::new(), LinkedList::new(), BinaryHeap::new());
    let (mut first, mut next) = (0_u64, 0_u64);
    for _ in 0..STEPS {
        for _ in 0..random.random_range(0..20) {
            ring.push_back(Box::new(next));
            list.push_back(Box::new(next));
            heap.push(std::cmp::Reverse(Box::new(next)));
            next += 1;
        }
        for _ in 0..random.random_range(0..20.min(next - first + 1)) {
            assert_eq!(ring.pop_front().as_deref(), Some(&first));
            assert_eq!(list.pop_front().as_deref(), Some(&first));
            assert_eq!(heap.pop().map(|reverse| *reverse.0), Some(first));
            first += 1;
        }
    }
    assert!(ring.iter().chain(&list).all(|number| (first..next).contains(number)));
    assert_eq!(
        (ring.len() as u64, list.len() as u64, heap.len() as u64),
        (next - first, next - first, next - first)
    );
}

struct Node {
    name: String,
    parent: Weak<Node>,
    children: RefCell<Vec<Rc<Node>>>,
}

#[test]
fn graphs_of_counted_pointers() {
    let mut random = random(4);
    let node = |key: u64, parent: Weak<Node>| {
        Rc::new(Node { name: text_of(key), parent, children: RefCell::default() })
    };
    let root = node(0, Weak::new());
    let mut nodes = vec![root.clone()];
    for key in 1..5000 {
        let parent = &nodes[random.random_range(0..nodes.len())];
        let child = node(key, Rc::downgrade(parent));
        parent.children.borrow_mut().push(child.clone());
        nodes.push(child);
    }
    for (key, node) in nodes.iter().enumerate() {
        assert_eq!(node.name, text_of(key as u64));
        assert_eq!(node.parent.upgrade().is_none(), key == 0);
    }
    let leaves: Vec<Weak<Node>> = nodes.iter().map(Rc::downgrade).collect();
    drop(nodes);
    assert!(leaves.iter().all(|node| node.strong_count() == 1));
    drop(root);
    assert!(leaves.iter().all(|node| node.strong_count() == 0));
}

#[test]
fn pointers_shared_between_threads() {
    let shared: Arc<Vec<Mutex<Vec<Arc<String>>>>> = Arc::new((0..8).map(|_| Mutex::default()).collect());
    let threads: Vec<_> = (20..24)
        .map(|stream| {
            let shared = shared.clone();
            thread::spawn(move || {
                let mut random = random(stream);
                for key in 0..STEPS as u64 / 3 {
                    let mut slot = shared[random.random_range(0..8)].lock().expect("no thread fails");
                    slot.push(Arc::new(text_of(key)));
                    if slot.len() > 100 {
                        let taken = std::mem::take(&mut *slot);
                        drop(slot);
                        let keys = taken.iter().map(|text| text.len());
                        assert!(
                            keys.sum::<usize>() > 0 && taken.iter().all(|text| Arc::strong_count(text) == 1)
                        );
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no thread fails"));
}
