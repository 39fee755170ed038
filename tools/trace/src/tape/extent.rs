//! The file of a process, and its extents.

use core::ffi::CStr;
use core::sync::atomic::{AtomicU32, Ordering};

use super::state::{PATH_BYTES, State};
use super::{lane, system};
use crate::format::{
    BLOCK_HEADER_BYTES, Codec, EXTENT_BYTES, HEADER_BYTES, Stage, block_header_bytes, header_bytes,
};

/// Files of one process at most: it makes one after each exec.
const MOST_FILES: u32 = 10_000;

/// The key whose destructor runs at a thread's end, plus one.
static KEY: AtomicU32 = AtomicU32::new(0);

/// Makes what outlives forks: the key.
pub(super) fn prepare() -> bool {
    let mut key = 0;
    // SAFETY: the pointer is to a live key, and the destructor takes what `watch` sets.
    if unsafe { libc::pthread_key_create(&raw mut key, Some(lane::DESTRUCTOR)) } != 0 {
        return false;
    }
    KEY.store(key.wrapping_add(1), Ordering::Release);
    true
}

/// Has the destructor run with `lane` when the thread ends.
pub(super) fn watch(lane: *mut lane::Lane) {
    let key = KEY.load(Ordering::Acquire).wrapping_sub(1);
    // SAFETY: the key exists.
    unsafe { libc::pthread_setspecific(key, lane.cast_const().cast()) };
}

/// Makes this process's file in `folder` and its path: the process's number, and a second number
/// that tells its files apart.
pub(super) fn make_file(folder: &CStr, path: &mut [u8; PATH_BYTES]) -> bool {
    // SAFETY: these ask for numbers.
    let (process, parent) = unsafe { (libc::getpid(), libc::getppid()) };
    let mut executable = [0; PATH_BYTES];
    let length = system::read_link(c"/proc/self/exe", &mut executable);
    let name = executable[..length.min(PATH_BYTES)].rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let header = header_bytes(Stage::Recording, process as u32, parent as u32, name);
    (0..MOST_FILES).any(|number| {
        Path::new(path)
            .add(folder.to_bytes())
            .add(b"/")
            .number(process as u32)
            .add(b"-")
            .number(number)
            .end();
        CStr::from_bytes_until_nul(path).is_ok_and(|path| system::create(path, &header))
    })
}

/// Text put together in place.
struct Path<'a> {
    bytes: &'a mut [u8; PATH_BYTES],
    length: usize,
}

impl<'a> Path<'a> {
    fn new(bytes: &'a mut [u8; PATH_BYTES]) -> Self {
        Self { bytes, length: 0 }
    }

    fn add(mut self, text: &[u8]) -> Self {
        for &byte in text {
            if let Some(to) = self.bytes.get_mut(self.length) {
                *to = byte;
                self.length += 1;
            }
        }
        self
    }

    fn number(mut self, number: u32) -> Self {
        let mut unit = 1_000_000_000;
        while unit > 1 && number / unit == 0 {
            unit /= 10;
        }
        while unit > 0 {
            self = self.add(&[b'0' + (number / unit % 10) as u8]);
            unit /= 10;
        }
        self
    }

    fn end(self) {
        self.add(&[0]);
    }
}

/// A piece of the file that one thread writes: where events may begin, and the end.
pub(super) struct Extent {
    pub(super) start: *mut u8,
    pub(super) events: *mut u8,
    pub(super) end: *mut u8,
}

/// Claims the file's next extent and begins a block in it.
pub(super) fn claim(state: &State) -> Option<Extent> {
    let number = state.extents.fetch_add(1, Ordering::Relaxed);
    let start = system::map_extent(state.path(), number.checked_mul(EXTENT_BYTES as u64)?)?.as_ptr();
    // The file's header lies before the first block.
    let header = if number == 0 { HEADER_BYTES } else { 0 };
    let length = (EXTENT_BYTES - header - BLOCK_HEADER_BYTES) as u32;
    let block = block_header_bytes(Codec::Stored, length, length);
    // SAFETY: the extent is mapped, new and longer than both headers.
    unsafe {
        start.add(header).cast::<[u8; BLOCK_HEADER_BYTES]>().write(block);
        let events = start.add(header + BLOCK_HEADER_BYTES);
        Some(Extent { start, events, end: start.add(EXTENT_BYTES) })
    }
}
