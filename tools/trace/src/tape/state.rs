//! What the threads of a process share.

use core::cell::UnsafeCell;
use core::ffi::{CStr, c_void};
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering};

use super::{extent, lane, slot, system};

/// Longest path of a recording's file.
pub(super) const PATH_BYTES: usize = 1024;

/// Bytes mapped for a [`State`].
const STATE_BYTES: usize = 16 << 10;

/// Shared by the threads of one process. All zero: nothing has begun.
#[repr(C)]
pub(super) struct State {
    /// Numbers every call. On a cache line of its own.
    sequence: Counter,
    phase: AtomicU32,
    /// Threads so far.
    pub(super) threads: AtomicU32,
    /// Extents of the file that were claimed.
    pub(super) extents: AtomicU64,
    /// Lanes whose threads have ended.
    pub(super) spare: lane::Spare,
    /// Where new lanes come from.
    pub(super) fresh: lane::Fresh,
    path: UnsafeCell<[u8; PATH_BYTES]>,
}

#[repr(align(128))]
struct Counter(AtomicU64);

// SAFETY: the path is written while `phase` is `STARTING`, by one thread, and read when it is
// `READY`.
unsafe impl Sync for State {}

const NOT_STARTED: u32 = 0;
const STARTING: u32 = 1;
const READY: u32 = 2;
/// There was no memory, no file, or no room: this process is not recorded (any more).
const STOPPED: u32 = 3;

/// The state's memory, which a fork wipes in the child. Null: recording was never asked for.
static STATE: AtomicPtr<State> = AtomicPtr::new(ptr::null_mut());

/// The folder, as a C string. It outlives forks.
struct Folder(UnsafeCell<[u8; PATH_BYTES]>);

// SAFETY: written once, before `STATE` is set.
unsafe impl Sync for Folder {}

static FOLDER: Folder = Folder(UnsafeCell::new([0; PATH_BYTES]));

/// glibc's flag that says that no other thread has been started.
static SINGLE: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());

/// Counts calls before [`start`], which nobody records.
static UNUSED: AtomicU64 = AtomicU64::new(0);

/// The state, if this process is recorded.
#[inline(always)]
pub(super) fn state() -> Option<&'static State> {
    let state = STATE.load(Ordering::Acquire);
    // SAFETY: set once, to memory that is never unmapped, and that is valid when zero.
    unsafe { state.as_ref() }
}

/// The next number in the order of all calls.
#[inline(always)]
pub(super) fn next() -> u64 {
    let sequence = state().map_or(&UNUSED, |state| &state.sequence.0);
    let single = SINGLE.load(Ordering::Relaxed);
    // SAFETY: null or glibc's flag, which is there as long as the process.
    if !single.is_null() && unsafe { single.read_volatile() } != 0 {
        let next = sequence.load(Ordering::Relaxed).wrapping_add(1);
        sequence.store(next, Ordering::Relaxed);
        return next;
    }
    sequence.fetch_add(1, Ordering::AcqRel).wrapping_add(1)
}

/// Begins recording into `folder`. Called once, before there are threads.
pub(super) fn start(folder: &CStr) {
    if !STATE.load(Ordering::Relaxed).is_null() {
        return;
    }
    let folder = folder.to_bytes_with_nul();
    // Room for the slash, two numbers and a dash.
    if folder.len() < 2 || folder.len() > PATH_BYTES - 64 || !extent::prepare() {
        return;
    }
    // SAFETY: nobody reads the folder before `STATE` is set.
    unsafe { (&mut *FOLDER.0.get()).iter_mut().zip(folder).for_each(|(to, &from)| *to = from) };
    // SAFETY: the name is a C string.
    let single = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"__libc_single_threaded".as_ptr()) };
    SINGLE.store(single.cast::<u8>(), Ordering::Relaxed);
    const { assert!(size_of::<State>() <= STATE_BYTES) };
    if let Some(memory) = system::map_wiped_on_fork(STATE_BYTES) {
        STATE.store(memory.as_ptr().cast::<State>(), Ordering::Release);
    }
}

impl State {
    /// Whether a call can be recorded. The first call of a process begins its file; after a fork,
    /// that is the child's first.
    pub(super) fn ready(&self) -> bool {
        match self.phase.load(Ordering::Acquire) {
            READY => true,
            NOT_STARTED => self.begin(),
            _ => false,
        }
    }

    #[cold]
    fn begin(&self) -> bool {
        let exchanged =
            self.phase.compare_exchange(NOT_STARTED, STARTING, Ordering::AcqRel, Ordering::Relaxed);
        if exchanged.is_err() {
            return false;
        }
        // After a fork it would be a lane of the parent's.
        slot::set(ptr::null_mut());
        // SAFETY: no other thread reads or writes the path while the phase is `STARTING`.
        let made = extent::make_file(folder(), unsafe { &mut *self.path.get() });
        self.phase.store(if made { READY } else { STOPPED }, Ordering::Release);
        made
    }

    /// Records nothing more.
    pub(super) fn stop(&self) {
        self.phase.store(STOPPED, Ordering::Release);
    }

    /// The file's path.
    pub(super) fn path(&self) -> &CStr {
        // SAFETY: the phase is `READY`, so the path is written and stays.
        c_string(unsafe { &*self.path.get() })
    }

    /// The last number that was given.
    pub(super) fn last(&self) -> u64 {
        self.sequence.0.load(Ordering::Relaxed)
    }
}

fn folder() -> &'static CStr {
    // SAFETY: written before `STATE` was set, and never again.
    c_string(unsafe { &*FOLDER.0.get() })
}

fn c_string(bytes: &[u8]) -> &CStr {
    CStr::from_bytes_until_nul(bytes).unwrap_or(c"")
}

/// A spin lock that nobody waits for: whoever finds it taken does without.
#[derive(Default)]
#[repr(transparent)]
pub(super) struct TryLock(AtomicU8);

impl TryLock {
    /// Does `work` unless another thread holds the lock.
    pub(super) fn with<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        self.0.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).ok()?;
        let result = work();
        self.0.store(0, Ordering::Release);
        Some(result)
    }
}

/// What pthread_key_create(3) calls at a thread's end.
pub(super) type Destructor = unsafe extern "C" fn(*mut c_void);
