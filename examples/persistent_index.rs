//! An inverted index that is built once, in a heap in a file, and opened in milliseconds ever
//! after.
//!
//! ```text
//! cargo run --release --features allocator-api2 --example persistent_index -- INDEX --text DIRECTORY
//! cargo run --release --features allocator-api2 --example persistent_index -- INDEX --find allocator
//! ```
//!
//! The index is ordinary collections, whose allocator [`InFile`] has no bytes of its own, so that
//! nothing in the file refers to the process that made it. They are found from the heap's root, as
//! they were left: nothing is read but what a query touches. If the program is killed while it
//! builds, the file is what it was at the last sync, here an empty heap, and the next start builds
//! anew.
//!
//! What is in the file is Rust's and hashbrown's own layout: the file is for the program that made
//! it, of the same build. [`FORMAT`] is to be raised when that changes.

use std::alloc::Layout;
use std::collections::hash_map::DefaultHasher;
use std::error::Error;
use std::fs;
use std::hash::BuildHasherDefault;
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};
use std::time::Instant;

use allocator_api2::alloc::{AllocError, Allocator};
use allocator_api2::boxed::Box;
use allocator_api2::vec::Vec;
use clap::Parser;
use freestone::heaps::{File, Heap, Options};
use hashbrown::HashMap;
use walkdir::WalkDir;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

/// The heap that this program's collections are allocated from, while `main` has it open.
static HEAP: AtomicPtr<Heap<File>> = AtomicPtr::new(ptr::null_mut());

fn heap() -> Result<&'static Heap<File>, AllocError> {
    // SAFETY: set to a heap that outlives every use of it, or null.
    unsafe { HEAP.load(Ordering::Acquire).as_ref() }.ok_or(AllocError)
}

/// Allocates from [`HEAP`].
#[derive(Clone, Copy, Debug, Default)]
struct InFile;

// SAFETY: the heap is closed after the last use of what is in it, and every value of the type is
// the same allocator.
unsafe impl Allocator for InFile {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        Allocator::allocate(heap()?, layout)
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        if let Ok(heap) = heap() {
            // SAFETY: forwarded to the caller.
            unsafe { Allocator::deallocate(heap, block, layout) }
        }
    }

    unsafe fn grow(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: forwarded to the caller.
        unsafe { Allocator::grow(heap()?, block, old, new) }
    }
}

/// To be raised when [`Index`] changes, or what it is made of.
const FORMAT: u64 = 1;

/// What the root points to.
struct Index {
    format: u64,
    files: Vec<Box<str, InFile>, InFile>,
    /// The hasher is not a random one: it has to be the same in the next run.
    words: HashMap<Box<str, InFile>, Vec<Posting, InFile>, BuildHasherDefault<DefaultHasher>, InFile>,
    text_bytes: u64,
}

/// A word's occurrences in one file.
struct Posting {
    file: u32,
    /// Which words of the file, counted from 0.
    positions: Vec<u32, InFile>,
}

/// Keeps an index of text in a file.
#[derive(Parser, Debug)]
#[command(name = "persistent_index")]
struct Arguments {
    /// The file with the index; made if there is none
    index: PathBuf,

    /// The directory to index, where there is no index yet
    #[arg(long, default_value = ".")]
    text: PathBuf,

    /// Stop after this much text, in MiB
    #[arg(long, default_value_t = 256)]
    max_mb: u64,

    /// The limit of a new file, in GiB
    #[arg(long, default_value_t = 64)]
    limit_gb: usize,

    /// Show where this word occurs
    #[arg(long, value_name = "WORD")]
    find: Option<String>,
}

fn boxed(text: &str) -> Box<str, InFile> {
    let mut bytes = Vec::with_capacity_in(text.len(), InFile);
    bytes.extend_from_slice(text.as_bytes());
    // SAFETY: the bytes of a `str`.
    unsafe { Box::from_raw_in(Box::into_raw(bytes.into_boxed_slice()) as *mut str, InFile) }
}

impl Index {
    fn build(directory: &Path, max_bytes: u64) -> Self {
        let mut index = Self {
            format: FORMAT,
            files: Vec::new_in(InFile),
            words: HashMap::with_hasher_in(<_>::default(), InFile),
            text_bytes: 0,
        };
        for entry in WalkDir::new(directory).sort_by_file_name().into_iter().flatten() {
            if index.text_bytes >= max_bytes {
                break;
            }
            // Binary files are not text, and the others are skipped by their type.
            if entry.file_type().is_file()
                && let Ok(text) = fs::read_to_string(entry.path())
            {
                index.add(entry.path(), &text);
            }
        }
        index
    }

    fn add(&mut self, path: &Path, text: &str) {
        let file = u32::try_from(self.files.len()).expect("fewer than 2^32 files");
        self.files.push(boxed(&path.to_string_lossy()));
        self.text_bytes += text.len() as u64;
        let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        for (position, word) in (0..).zip(words) {
            let postings = match self.words.get_mut(word) {
                Some(postings) => postings,
                None => self.words.entry(boxed(word)).or_insert(Vec::new_in(InFile)),
            };
            match postings.last_mut() {
                Some(posting) if posting.file == file => posting.positions.push(position),
                _ => {
                    let mut positions = Vec::with_capacity_in(1, InFile);
                    positions.push(position);
                    postings.push(Posting { file, positions });
                }
            }
        }
    }

    fn show(&self, word: &str) {
        let postings = self.words.get(word).map_or(&[][..], |postings| postings.as_slice());
        let times: usize = postings.iter().map(|posting| posting.positions.len()).sum();
        println!("{word}: {times} times in {} files", postings.len());
        for posting in postings.iter().take(5) {
            let file = self.files.get(posting.file as usize).map_or("", |name| name);
            println!("  {file}: {}", posting.positions.len());
        }
    }
}

fn main() -> Result<(), std::boxed::Box<dyn Error>> {
    let arguments = Arguments::parse();
    let started = Instant::now();
    let heap = Options::new().limit(arguments.limit_gb << 30).file(&arguments.index)?;
    HEAP.store((&raw const heap).cast_mut(), Ordering::Release);
    let index: &Index = match heap.root()? {
        // SAFETY: the roots of this program's heaps are an `Index`, which is never changed.
        Some(root) => unsafe { root.cast().as_ref() },
        None => {
            println!("building");
            let index = Box::leak(Box::new_in(Index::build(&arguments.text, arguments.max_mb << 20), InFile));
            println!("built in {:.2?}", started.elapsed());
            heap.set_root(Some(NonNull::from(&mut *index).cast()))?;
            heap.sync()?;
            index
        }
    };
    if index.format != FORMAT {
        return Err("the index is of another build of this program".into());
    }
    println!("ready after {:.2?}; the file was {:?}", started.elapsed(), heap.found());
    println!(
        "{} words in {} files, {} MiB of text",
        index.words.len(),
        index.files.len(),
        index.text_bytes >> 20
    );
    if let Some(word) = &arguments.find {
        let query = Instant::now();
        index.show(word);
        println!("found in {:.2?}", query.elapsed());
    }
    let stats = heap.stats()?;
    println!("{} MiB in {} blocks, {} MiB taken", stats.live >> 20, stats.live_blocks, stats.taken >> 20);
    // Nothing refers into the heap from here on; what is in it stays.
    HEAP.store(ptr::null_mut(), Ordering::Release);
    heap.close()?;
    Ok(())
}
