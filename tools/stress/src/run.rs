//! What the whole run shares: the options, and where every lane is.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::exchange::Mailbox;
use crate::native_thread::Thread;
use crate::options::{Length, Options};
use crate::worker::Worker;

/// Where one lane is. On cache lines of its own: every operation writes it.
#[repr(align(128))]
#[derive(Debug, Default)]
pub(crate) struct Lane {
    pub(crate) operation: AtomicU64,
}

/// A lane's end: what it leaves, and the thread it ended in.
pub(crate) struct Ended {
    pub(crate) worker: Box<Worker>,
    pub(crate) thread: Thread,
}

/// The run.
pub(crate) struct Run {
    pub(crate) options: Options,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) mailboxes: Vec<Mailbox>,
    /// Bytes of all live blocks.
    live_bytes: AtomicUsize,
    live_peak: AtomicUsize,
    stop: AtomicBool,
    ended: Mutex<Vec<Ended>>,
    one_ended: Condvar,
}

static RUN: OnceLock<Run> = OnceLock::new();

/// The run, once there is one. For places that nothing can be handed to: signal handlers and
/// the destructors of threads.
pub(crate) fn current() -> Option<&'static Run> {
    RUN.get()
}

impl Run {
    /// Makes the run of this process.
    pub(crate) fn begin(options: Options) -> &'static Self {
        let lanes = options.threads;
        RUN.get_or_init(|| Self {
            lanes: (0..lanes).map(|_| Lane::default()).collect(),
            mailboxes: (0..lanes).map(|_| Mailbox::new()).collect(),
            live_bytes: AtomicUsize::new(0),
            live_peak: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            ended: Mutex::new(Vec::with_capacity(lanes)),
            one_ended: Condvar::new(),
            options,
        })
    }

    // ---- how long ----

    /// Whether a lane that has done `operations` goes on.
    pub(crate) fn goes_on(&self, operations: u64) -> bool {
        match self.options.length {
            Length::Operations(wanted) => operations < wanted,
            Length::Time(_) => !self.stop.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Operations of all lanes so far.
    pub(crate) fn operations(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.operation.load(Ordering::Relaxed)).sum()
    }

    // ---- how much ----

    /// Room for `bytes` more of live blocks, if there is.
    pub(crate) fn reserve(&self, bytes: usize) -> Option<()> {
        let before = self
            .live_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |live| {
                live.checked_add(bytes).filter(|live| *live <= self.options.live_bytes)
            })
            .ok()?;
        self.live_peak.fetch_max(before + bytes, Ordering::Relaxed);
        Some(())
    }

    /// Gives back what [`reserve`](Self::reserve) gave.
    pub(crate) fn release(&self, bytes: usize) {
        self.live_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(crate) fn live_bytes(&self) -> usize {
        self.live_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn live_peak(&self) -> usize {
        self.live_peak.load(Ordering::Relaxed)
    }

    // ---- the end ----

    /// Notes the end of a lane: its thread's last act.
    pub(crate) fn end(&self, ended: Ended) {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).push(ended);
        self.one_ended.notify_one();
    }

    /// Whether every lane has ended; waits for up to `patience` for one more.
    pub(crate) fn all_ended(&self, patience: Duration) -> bool {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let all = self.lanes.len();
        let (ended, _) = self
            .one_ended
            .wait_timeout_while(ended, patience, |ended| ended.len() < all)
            .unwrap_or_else(PoisonError::into_inner);
        ended.len() == all
    }

    /// What the lanes left, once their threads are gone.
    pub(crate) fn take_workers(&self) -> Vec<Worker> {
        let ended = std::mem::take(&mut *self.ended.lock().unwrap_or_else(PoisonError::into_inner));
        let join = |ended: Ended| {
            ended.thread.join();
            *ended.worker
        };
        ended.into_iter().map(join).collect()
    }
}
