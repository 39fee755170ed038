//! A thread's piece of the file, and how it is written.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{Ordering, compiler_fence};

use super::state::{self, Destructor, State, TryLock};
use super::{extent, slot, system};
use crate::format::{Call, Encoder, LONGEST_EVENT, PointerSink};

/// Calls from one reading of the clock to the next.
const CALLS_A_TIME: u32 = 32;

/// Room that a call needs: itself, a time, and the zero byte that ends the events.
const ROOM: usize = 2 * LONGEST_EVENT + 1;

/// Lanes that are mapped at once.
const LANES: usize = 256;

/// What one thread writes with. Valid when zero, which is what a fork leaves in the child: without
/// room.
#[repr(C, align(128))]
pub(super) struct Lane {
    at: *mut u8,
    end: *mut u8,
    start: *mut u8,
    encoder: Encoder,
    /// Calls until the clock is read again.
    until_time: u32,
    thread: u32,
    /// One call is being recorded, and a signal handler or a call from inside finds it.
    busy: bool,
    /// The next of the spare lanes.
    next: *mut Lane,
}

/// The calling thread's lane while one call is recorded.
pub(super) struct Writing(*mut Lane);

impl Lane {
    /// The calling thread's lane, with room for a call. None where this call is not recorded.
    #[inline(always)]
    pub(super) fn of_thread() -> Option<Writing> {
        let lane = slot::get();
        if lane.is_null() {
            return with_room(lane);
        }
        // SAFETY: the slot's lane is mapped for as long as the process, and this thread's alone.
        let one = unsafe { &mut *lane };
        if one.busy {
            return None;
        }
        if one.end.addr().wrapping_sub(one.at.addr()) < ROOM {
            return with_room(lane);
        }
        one.busy = true;
        compiler_fence(Ordering::SeqCst);
        Some(Writing(lane))
    }
}

impl Writing {
    /// Writes a call, and the time if it is due.
    #[inline(always)]
    pub(super) fn write(self, call: &Call) {
        // SAFETY: the lane is this thread's, and `busy` keeps signal handlers from it.
        let lane = unsafe { &mut *self.0 };
        // SAFETY: there is room for two events, and a zero byte after them.
        let mut sink = unsafe { PointerSink::new(lane.at) };
        match lane.until_time.checked_sub(1) {
            Some(left) => lane.until_time = left,
            None => {
                lane.until_time = CALLS_A_TIME;
                lane.encoder.time(&mut sink, system::now());
            }
        }
        lane.encoder.call(&mut sink, call);
        // SAFETY: within the room.
        lane.at = unsafe { lane.at.add(sink.length()) };
        compiler_fence(Ordering::SeqCst);
        lane.busy = false;
    }
}

/// The rare rest: a thread's first call, a full extent, a child after a fork, a process that is not
/// recorded. Keeps `errno`.
#[cold]
#[inline(never)]
fn with_room(lane: *mut Lane) -> Option<Writing> {
    let state = state::state()?;
    // SAFETY: the address of errno is there as long as the thread.
    let errno = unsafe { *libc::__errno_location() };
    let writing = prepare(state, lane);
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
    writing
}

fn prepare(state: &State, mut lane: *mut Lane) -> Option<Writing> {
    if !state.ready() {
        return None;
    }
    // After a fork the slot has been emptied.
    if slot::get().is_null() {
        lane = take(state)?;
    }
    // SAFETY: the lane is this thread's.
    let one = unsafe { &mut *lane };
    one.busy = true;
    compiler_fence(Ordering::SeqCst);
    if one.end.addr().wrapping_sub(one.at.addr()) < ROOM && !refill(state, one) {
        state.stop();
        return None;
    }
    Some(Writing(lane))
}

/// Gives the lane another extent.
fn refill(state: &State, lane: &mut Lane) -> bool {
    if !lane.start.is_null() {
        // SAFETY: only this lane used it.
        unsafe { system::unmap_extent(lane.start) };
    }
    let Some(extent) = extent::claim(state) else {
        (lane.start, lane.at, lane.end) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        return false;
    };
    (lane.start, lane.at, lane.end) = (extent.start, extent.events, extent.end);
    begin(state, lane);
    true
}

/// Says whose the events are that follow.
fn begin(state: &State, lane: &mut Lane) {
    // SAFETY: there is room: the extent is new, or the lane was taken with room.
    let mut sink = unsafe { PointerSink::new(lane.at) };
    lane.encoder = Encoder::thread(&mut sink, lane.thread, state.last(), system::now());
    lane.until_time = CALLS_A_TIME;
    // SAFETY: within the room.
    lane.at = unsafe { lane.at.add(sink.length()) };
}

/// A lane for the calling thread, of a thread that has ended or new. Its slot is set, and the lane
/// busy, before anything is called that may allocate.
fn take(state: &State) -> Option<*mut Lane> {
    let lane = state.spare.take().or_else(|| state.fresh.take())?;
    // SAFETY: the lane was just taken, so it is this thread's alone.
    let one = unsafe { &mut *lane };
    one.busy = true;
    one.thread = state.threads.fetch_add(1, Ordering::Relaxed);
    slot::set(lane);
    if one.end.addr().wrapping_sub(one.at.addr()) >= 2 * ROOM {
        begin(state, one);
    } else if !one.start.is_null() {
        one.at = one.end;
    }
    extent::watch(lane);
    Some(lane)
}

/// Leaves the lane to another thread.
unsafe extern "C" fn leave(lane: *mut c_void) {
    let lane = lane.cast::<Lane>();
    // In the child of a fork it may be the parent's.
    if slot::get() != lane {
        return;
    }
    slot::set(ptr::null_mut());
    if let Some(state) = state::state() {
        // SAFETY: the slot was the only one that named this lane.
        unsafe { (*lane).busy = false };
        state.spare.put(lane);
    }
}

/// What runs at a thread's end.
pub(super) const DESTRUCTOR: Destructor = leave;

/// Lanes whose threads have ended. One that is left while another thread is here is lost.
#[repr(C)]
pub(super) struct Spare {
    lock: TryLock,
    first: UnsafeCell<*mut Lane>,
}

impl Spare {
    fn take(&self) -> Option<*mut Lane> {
        self.lock.with(|| {
            // SAFETY: the lock is held, and the lanes in the list are nobody else's.
            unsafe {
                let first = *self.first.get();
                *self.first.get() = first.as_ref()?.next;
                Some(first)
            }
        })?
    }

    fn put(&self, lane: *mut Lane) {
        self.lock.with(|| {
            // SAFETY: the lock is held, and the lane was just given up.
            unsafe {
                (*lane).next = *self.first.get();
                *self.first.get() = lane;
            }
        });
    }
}

/// Where new lanes come from.
#[repr(C)]
pub(super) struct Fresh {
    lock: TryLock,
    piece: UnsafeCell<*mut Lane>,
    used: UnsafeCell<usize>,
}

impl Fresh {
    /// A lane that nobody has had. Waits: without one, a thread would go unrecorded.
    fn take(&self) -> Option<*mut Lane> {
        loop {
            if let Some(lane) = self.lock.with(|| self.take_locked()) {
                return lane;
            }
            core::hint::spin_loop();
        }
    }

    fn take_locked(&self) -> Option<*mut Lane> {
        // SAFETY: the lock is held; a piece has `LANES` lanes.
        unsafe {
            if (*self.piece.get()).is_null() || *self.used.get() == LANES {
                let memory = system::map_wiped_on_fork(LANES * size_of::<Lane>())?;
                *self.piece.get() = memory.as_ptr().cast::<Lane>();
                *self.used.get() = 0;
            }
            let lane = (*self.piece.get()).add(*self.used.get());
            *self.used.get() += 1;
            Some(lane)
        }
    }
}
