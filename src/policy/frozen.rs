//! The options in force: put together once, when the first block is requested, and never changed.
//!
//! State: [`OPTIONS`], written once under [`FREEZING`]; [`FROZEN`], whether it is written.

use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char};

use super::options::{OnMisuse, Options};
use super::variables::{Ignored, PREFIX, VARIABLES};
use crate::base::atomic::{AtomicU8, Ordering};
use crate::os;
use crate::os::cgroup;
use crate::os::fatal;
use crate::os::lock::Lock;
use crate::os::stderr::Stderr;
use crate::policy::limit;

/// The options in force. Written once, before `FROZEN` says so.
struct OptionsCell(UnsafeCell<Options>);

// SAFETY: written under `FREEZING` before the release store to `FROZEN`, read after it.
unsafe impl Sync for OptionsCell {}

static OPTIONS: OptionsCell = OptionsCell(UnsafeCell::new(Options::DEFAULT));
static DEFAULT: Options = Options::DEFAULT;
static FROZEN: AtomicU8 = AtomicU8::new(0);
static FREEZING: Lock<()> = Lock::new(());

/// The options in force; the defaults before any are.
#[inline]
pub(crate) fn get() -> &'static Options {
    if FROZEN.load(Ordering::Acquire) == 0 {
        return &DEFAULT;
    }
    // SAFETY: written before the store that was just seen, and never again.
    unsafe { &*OPTIONS.0.get() }
}

/// Whether options have been put in force.
#[inline]
pub(crate) fn are_in_force() -> bool {
    FROZEN.load(Ordering::Relaxed) != 0
}

/// Puts `options`, as the environment changes them, in force if none are yet. Whether this call
/// did.
pub(crate) fn propose(options: &Options) -> bool {
    // SAFETY: the process's own environment.
    unsafe { freeze(options, os::environment()) }
}

/// As [`propose`], for interfaces through which a program says nothing about options.
pub(crate) fn propose_defaults() -> bool {
    let environment = os::environment();
    // Null: a library's constructor runs before the C library's, and the environment comes later.
    // SAFETY: the process's own environment.
    !environment.is_null() && unsafe { freeze(&DEFAULT, environment) }
}

/// As [`propose`], with the defaults and an environment that the C library does not know yet.
///
/// # Safety
/// `environment` is null or a null-terminated array of C strings that stay as they are.
pub(crate) unsafe fn propose_with(environment: *const *const c_char) -> bool {
    // SAFETY: forwarded to the caller.
    unsafe { freeze(&DEFAULT, environment) }
}

/// Releases the lock that another thread of the parent held, which has put nothing in force yet.
/// For a child.
///
/// # Safety
/// As for [`Lock::mend`].
pub(crate) unsafe fn mend() {
    // SAFETY: forwarded to the caller.
    unsafe { FREEZING.mend(|()| ()) }
}

/// Puts options in force if none are yet, with no lock held. Whether this call did.
///
/// No value with a destructor lives across the calls of formatting functions: the compiler would
/// add code for an unwinding that never happens.
///
/// # Safety
/// As for [`propose_with`].
#[cold]
#[inline(never)]
unsafe fn freeze(proposed: &Options, environment: *const *const c_char) -> bool {
    FREEZING.hold();
    let is_first = FROZEN.load(Ordering::Relaxed) == 0;
    let mut options = *proposed;
    if is_first {
        // The environment comes from a less privileged caller, who must not steer the program
        // (getauxval(3), AT_SECURE).
        if !os::is_privileged() {
            // SAFETY: forwarded to the caller.
            unsafe { read(&mut options, environment) };
        }
        if let Some(bytes) = cgroup::memory_limit(options.cgroup_percent) {
            options.memory_limit = options.memory_limit.min(bytes);
        }
        apply(&options);
        // SAFETY: nobody reads the cell before the store below, and only the lock's holder writes.
        unsafe { *OPTIONS.0.get() = options };
        FROZEN.store(1, Ordering::Release);
    }
    // SAFETY: held above.
    unsafe { FREEZING.release() };
    if is_first && options.verbose {
        show(&options);
    }
    is_first
}

/// Sets up the limit, and the rooms below this one, which know no options.
fn apply(options: &Options) {
    limit::COMMITTED.set(options.memory_limit, options.soft_memory_limit);
    if options.lock_in_memory {
        os::map_locked();
    }
    if options.no_reserve {
        os::map_without_reserve();
    }
    if options.on_misuse == OnMisuse::Report {
        fatal::report_only();
    }
}

/// Sets options from the environment, and warns of variables that are wrong.
///
/// # Safety
/// As for [`propose_with`].
unsafe fn read(options: &mut Options, mut environment: *const *const c_char) {
    if environment.is_null() {
        return;
    }
    loop {
        // SAFETY: the array ends with a null pointer, which ends the walk.
        let entry = unsafe { *environment };
        if entry.is_null() {
            return;
        }
        // SAFETY: entries are C strings.
        let entry = unsafe { CStr::from_ptr(entry) }.to_bytes();
        if let Some(rest) = entry.strip_prefix(PREFIX) {
            let mut parts = rest.splitn(2, |byte| *byte == b'=');
            let (name, value) = (parts.next().unwrap_or(&[]), parts.next().unwrap_or(&[]));
            if let Err(why) = options.set(name, value) {
                warn(name, why);
            }
        }
        environment = environment.wrapping_add(1);
    }
}

fn warn(name: &[u8], why: Ignored) {
    let mut line = Stderr::new();
    line.bytes(b"freestone: ");
    line.bytes(PREFIX);
    line.bytes(name);
    line.bytes(b" is ignored: ");
    match why {
        Ignored::Unknown => line.bytes(b"there is no such option"),
        Ignored::Takes(what) => {
            line.bytes(b"it takes ");
            line.bytes(what.as_bytes());
        }
    }
    line.bytes(b"\n");
}

fn show(options: &Options) {
    let mut out = Stderr::new();
    for variable in &VARIABLES {
        out.bytes(b"freestone: ");
        out.bytes(PREFIX);
        out.bytes(variable.name.as_bytes());
        out.bytes(b"=");
        let _ = (variable.show)(options, &mut out);
        out.bytes(b"\n");
    }
}
