//! The script's bytes: a head, a record for each thread, then the operations.

use std::fs::File;
use std::io;
use std::path::Path;

use memmap2::{Mmap, MmapOptions};

/// The first word of a script, which is another one whenever its layout changes.
const MAGIC: u64 = u64::from_le_bytes(*b"SCRIPT\x00\x01");

/// What one operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Action {
    Allocate,
    Zeroed,
    Resize,
    Free,
    /// Waits until thread `slot` has done `size` operations.
    Wait,
    /// Starts thread `slot`.
    Start,
}

/// One operation of one thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Operation {
    pub(super) action: Action,
    pub(super) align_log2: u8,
    /// Whether another thread waits until this is done.
    pub(super) awaited: bool,
    pub(super) unused: u8,
    pub(super) slot: u32,
    pub(super) size: u64,
}

/// The start of a script.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Head {
    pub(super) magic: u64,
    pub(super) threads: u32,
    pub(super) slots: u32,
    /// Calls of the recording.
    pub(super) calls: u64,
    /// Bytes live when the recording ended.
    pub(super) end_bytes: u64,
    /// The most bytes live at a time.
    pub(super) peak_bytes: u64,
}

/// What belongs to one thread.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct ThreadRecord {
    pub(super) first: u64,
    pub(super) operations: u64,
}

/// A script in memory, mapped from its file.
#[derive(Debug)]
pub struct Script {
    map: Mmap,
}

/// The bytes of plain numbers.
pub(super) fn bytes_of<T: Copy>(values: &[T]) -> &[u8] {
    // SAFETY: `Head`, `ThreadRecord` and `Operation` have no padding, so each byte is initialised.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

const _: () = assert!(size_of::<Operation>() == 16 && size_of::<Head>() == 40);

impl Script {
    /// Maps the script at `path`, and reads all of it, so that its pages do not count later.
    /// Nothing is asked of the allocator.
    ///
    /// # Errors
    /// The file cannot be mapped, or is no script of this version.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        // SAFETY: scripts are written once, before anyone is told their paths.
        let map = unsafe { MmapOptions::new().populate().map(&file)? };
        if map.len() < size_of::<Head>() || map[..8] != MAGIC.to_le_bytes() {
            return Err(io::Error::other("not a script"));
        }
        let script = Self { map };
        let threads = script.head().threads as usize;
        let known = size_of::<Head>() + threads * size_of::<ThreadRecord>();
        if script.map.len() < known || script.map.len() != known + script.operation_count() * 16 {
            return Err(io::Error::other("the script is cut"));
        }
        Ok(script)
    }

    pub(super) fn head(&self) -> &Head {
        // SAFETY: the map is as long, aligned to a page, and any bytes are a head.
        unsafe { &*self.map.as_ptr().cast::<Head>() }
    }

    fn records(&self) -> &[ThreadRecord] {
        // SAFETY: the records follow the head, whose size is a multiple of their alignment; `open`
        // has checked the length.
        unsafe {
            let start = self.map.as_ptr().add(size_of::<Head>()).cast::<ThreadRecord>();
            std::slice::from_raw_parts(start, self.head().threads as usize)
        }
    }

    fn operation_count(&self) -> usize {
        self.records().iter().map(|record| record.operations as usize).sum()
    }

    /// The operations of one thread.
    pub(super) fn operations(&self, thread: usize) -> &[Operation] {
        let record = self.records()[thread];
        let start = size_of::<Head>() + size_of_val(self.records());
        // SAFETY: the operations follow the records, and are what `compile` has made: a script is
        // mapped from a file that this version wrote, as its first word says.
        let all = unsafe {
            let start = self.map.as_ptr().add(start).cast::<Operation>();
            std::slice::from_raw_parts(start, self.operation_count())
        };
        &all[record.first as usize..][..record.operations as usize]
    }

    /// Threads that take part.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.head().threads as usize
    }

    /// Calls of the recording.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.head().calls
    }

    /// Bytes live when the recording ended.
    #[must_use]
    pub fn end_bytes(&self) -> u64 {
        self.head().end_bytes
    }

    /// The most bytes that were live at a time.
    #[must_use]
    pub fn peak_bytes(&self) -> u64 {
        self.head().peak_bytes
    }
}

/// A script's bytes.
pub(super) fn assemble(mut head: Head, threads: &[Vec<Operation>]) -> Vec<u8> {
    head.magic = MAGIC;
    let mut first = 0;
    let records: Vec<ThreadRecord> = threads
        .iter()
        .map(|operations| {
            let record = ThreadRecord { first, operations: operations.len() as u64 };
            first += record.operations;
            record
        })
        .collect();
    let mut bytes = bytes_of(&[head]).to_vec();
    bytes.extend_from_slice(bytes_of(&records));
    threads.iter().for_each(|operations| bytes.extend_from_slice(bytes_of(operations)));
    bytes
}
