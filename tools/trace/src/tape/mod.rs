//! Recording inside a process.
//!
//! Each thread has a `lane`: a piece of the recording's file, mapped shared, that it alone
//! writes. What it has written is in the file at once, so a process that is killed loses nothing
//! but the event in the making. A call of the allocator takes a number from one counter, which
//! makes the order of all calls: an allocation after the block is there, a free before it is given
//! up.
//!
//! Nothing here allocates. All memory is mapped, and is zero in a child after a fork
//! (`MADV_WIPEONFORK`): the child finds no lane, and begins a file of its own.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `state` | what the threads of a process share: counters, the folder |
//! | `extent` | a piece of the file, claimed and mapped |
//! | `lane` | a thread's piece, and how it is written |
//! | `slot` | where a thread keeps its lane |
//! | `system` | the calls of the kernel, none of which is a cancellation point |

mod extent;
mod lane;
mod slot;
mod state;
mod system;

use core::ffi::{CStr, c_char};

use crate::format::{Call, Kind};
use lane::Lane;

/// Names the folder in which each recorded process makes a file, for what is preloaded.
pub const PRELOADED: &CStr = c"ALLOCATION_TRACE";

/// The same for programs with a [`crate::Recorder`] in them.
pub const BUILT_IN: &CStr = c"ALLOCATION_TRACE_BUILT_IN";

/// Begins recording into `folder`; nothing is recorded before. Called once, before there are
/// threads.
pub fn start(folder: &CStr) {
    state::start(folder);
}

/// The value of a variable in an environment as the kernel passes it.
///
/// # Safety
/// `environment` is a null-terminated array of C strings that live as long as the result.
#[must_use]
pub unsafe fn variable<'a>(environment: *const *const c_char, name: &CStr) -> Option<&'a CStr> {
    let mut place = environment;
    // SAFETY: the array ends with null, and the strings before it are C strings.
    unsafe {
        while !(*place).is_null() {
            let entry = CStr::from_ptr::<'a>(*place);
            let value = entry.to_bytes_with_nul().strip_prefix(name.to_bytes());
            if let Some(value) = value.and_then(|rest| rest.strip_prefix(b"=")) {
                return CStr::from_bytes_with_nul(value).ok();
            }
            place = place.add(1);
        }
    }
    None
}

/// Records a block that is there now.
#[inline(always)]
pub fn allocated(kind: Kind, size: usize, align: usize, block: *mut u8) {
    let Some(lane) = Lane::of_thread() else { return };
    let sequence = state::next();
    let id = id(block);
    let align_log2 = align.trailing_zeros() as u8;
    lane.write(&Call { kind, align_log2, sequence, done: sequence, size: size as u64, id, old: id });
}

/// Records a block that is about to be given up.
#[inline(always)]
pub fn freed(kind: Kind, block: *mut u8) {
    let Some(lane) = Lane::of_thread() else { return };
    let sequence = state::next();
    let id = id(block);
    lane.write(&Call { kind, align_log2: 0, sequence, done: sequence, size: 0, id, old: id });
}

/// Does what `resize` does to `old`, and records it if it succeeds.
#[inline(always)]
pub fn resized(old: *mut u8, size: usize, resize: impl FnOnce() -> *mut u8) -> *mut u8 {
    let before = state::next();
    let block = resize();
    if !block.is_null()
        && let Some(lane) = Lane::of_thread()
    {
        lane.write(&Call {
            kind: Kind::Resize,
            align_log2: 0,
            sequence: before,
            done: state::next(),
            size: size as u64,
            id: id(block),
            old: id(old),
        });
    }
    block
}

/// An address as an id: the bits that are zero in most addresses come last.
#[inline(always)]
fn id(block: *mut u8) -> u64 {
    (block.addr() as u64).rotate_right(4)
}
