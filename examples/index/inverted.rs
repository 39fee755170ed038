//! The inverted index: word → files and positions.
//!
//! Imitates the two phases of a search engine's indexer. First each worker takes files from a
//! common queue and fills an index of its own; then it deals its words out to all workers, each of
//! which owns a share of the alphabet (by hash) and merges what it is dealt. The second phase is
//! what makes memory travel: most of what a merger grows and frees was allocated by another thread.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::io::{self, Read};
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use indicatif::ProgressBar;

use crate::plan::Entry;

/// A word's occurrences in one file.
#[derive(Debug, Hash)]
pub(crate) struct Posting {
    /// Index of the file in the plan.
    pub(crate) file: u32,
    /// Which words of the file, counted from 0, in rising order.
    pub(crate) positions: Vec<u32>,
}

/// What one worker has found in its files. The hasher is not a random one, so that both sides of a
/// comparison do the same work.
type Partial = HashMap<String, Vec<Posting>, BuildHasherDefault<DefaultHasher>>;

/// What one worker hands another: the words that are the other's to merge.
type Hand = Vec<(String, Vec<Posting>)>;

/// The words of one share, each with its postings in the order of the plan.
type Shard = BTreeMap<String, Vec<Posting>>;

/// What was read, as opposed to what was found in it.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) files: u64,
    /// Files of the plan that are gone or no longer text.
    pub(crate) lost_files: u64,
    pub(crate) bytes: u64,
    pub(crate) words: u64,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.files += other.files;
        self.lost_files += other.lost_files;
        self.bytes += other.bytes;
        self.words += other.words;
    }
}

#[derive(Debug)]
pub(crate) struct Index {
    /// A word is in the shard that [`shard_of`] says.
    shards: Vec<Shard>,
    pub(crate) tally: Tally,
}

impl Index {
    /// Indexes the files of `plan` with that many threads.
    pub(crate) fn build(plan: &[Entry], workers: NonZero<usize>, progress: &ProgressBar) -> io::Result<Self> {
        let queue = Queue { plan, next: AtomicUsize::new(0) };
        thread::scope(|scope| {
            // Made in here: were a worker not to start, returning drops them, and the others don't
            // wait for its hand.
            let (outboxes, inboxes): (Vec<_>, Vec<_>) = (0..workers.get()).map(|_| mpsc::channel()).unzip();
            let workers = inboxes
                .into_iter()
                .map(|inbox| {
                    let (queue, outboxes) = (&queue, outboxes.clone());
                    thread::Builder::new().spawn_scoped(scope, move || work(queue, outboxes, inbox, progress))
                })
                .collect::<io::Result<Vec<_>>>()?;
            drop(outboxes);

            let mut index = Self { shards: Vec::new(), tally: Tally::default() };
            for worker in workers {
                let (shard, tally) = worker.join().map_err(|_| io::Error::other("a worker panicked"))?;
                index.shards.push(shard);
                index.tally.add(&tally);
            }
            Ok(index)
        })
    }

    /// Where `word` occurs.
    pub(crate) fn find(&self, word: &str) -> &[Posting] {
        let word = word.to_lowercase();
        self.shards
            .get(shard_of(&word, self.shards.len()))
            .and_then(|shard| shard.get(&word))
            .map_or(&[], Vec::as_slice)
    }

    pub(crate) fn distinct_words(&self) -> u64 {
        self.shards.iter().map(|shard| shard.len() as u64).sum()
    }

    /// A checksum of the whole content that does not depend on which worker did what.
    pub(crate) fn digest(&self) -> u64 {
        self.shards
            .iter()
            .flatten()
            .map(|word_and_postings| hash_of(&word_and_postings))
            .fold(0, u64::wrapping_add)
    }
}

/// The files that no worker has taken yet.
struct Queue<'a> {
    plan: &'a [Entry],
    next: AtomicUsize,
}

impl<'a> Queue<'a> {
    /// The next file with its number.
    fn take(&self) -> Option<(u32, &'a Entry)> {
        // Relaxed: the plan was there before any worker; only the count is shared.
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Some((u32::try_from(number).ok()?, self.plan.get(number)?))
    }
}

/// One worker's life.
fn work(
    queue: &Queue<'_>,
    outboxes: Vec<Sender<Hand>>,
    inbox: Receiver<Hand>,
    progress: &ProgressBar,
) -> (Shard, Tally) {
    let mut partial = Partial::default();
    let mut tally = Tally::default();
    while let Some((file, entry)) = queue.take() {
        match read(entry) {
            Ok(text) => {
                tally.files += 1;
                tally.bytes += text.len() as u64;
                tally.words += u64::from(index_text(&mut partial, file, &text));
            }
            Err(_) => tally.lost_files += 1,
        }
        progress.inc(entry.bytes);
    }
    deal(partial, outboxes);
    (merge(inbox), tally)
}

/// The part of a file that the plan says.
fn read(entry: &Entry) -> io::Result<String> {
    let mut text = String::with_capacity(usize::try_from(entry.bytes).unwrap_or(0));
    File::open(&entry.path)?.take(entry.bytes).read_to_string(&mut text)?;
    Ok(text)
}

/// Adds a file's words to a worker's index and returns how many there were.
#[inline(never)] // A name of its own in profiles.
fn index_text(partial: &mut Partial, file: u32, text: &str) -> u32 {
    let mut next_position = 0;
    for word in words(text) {
        let position = next_position;
        next_position += 1;
        let postings = partial.entry(word.to_lowercase()).or_default();
        match postings.last_mut() {
            Some(posting) if posting.file == file => posting.positions.push(position),
            _ => postings.push(Posting { file, positions: vec![position] }),
        }
    }
    next_position
}

/// Runs of letters, digits and underscores: words of prose and names of programs alike.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// Sends every word to the worker whose it is to merge.
fn deal(partial: Partial, outboxes: Vec<Sender<Hand>>) {
    let mut hands: Vec<Hand> = outboxes.iter().map(|_| Hand::new()).collect();
    for (word, postings) in partial {
        let shard = shard_of(&word, hands.len());
        if let Some(hand) = hands.get_mut(shard) {
            hand.push((word, postings));
        }
    }
    for (outbox, hand) in outboxes.into_iter().zip(hands) {
        // A worker that is gone has panicked, and `build` says so when it joins it.
        let _ = outbox.send(hand);
    }
}

/// Merges the hands dealt to this worker; returns when all workers have dealt.
#[inline(never)] // As above.
fn merge(inbox: Receiver<Hand>) -> Shard {
    let mut shard = Shard::new();
    for (word, mut postings) in inbox.into_iter().flatten() {
        shard.entry(word).or_default().append(&mut postings);
    }
    for postings in shard.values_mut() {
        postings.sort_unstable_by_key(|posting| posting.file);
    }
    shard
}

/// Which of `shards` shards, at least one, a word belongs to.
fn shard_of(word: &str, shards: usize) -> usize {
    // The remainder is less than `shards`, so it fits.
    (hash_of(word) % shards.max(1) as u64) as usize
}

fn hash_of<T: Hash + ?Sized>(value: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
