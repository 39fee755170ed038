//! Calls in their order, each on a numbered object: what addresses stand for is settled here.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use crate::format::{Call, Header, Kind, TimedCall, Trace};

/// What one call did to one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// What was called.
    pub kind: Kind,
    /// Alignment as a power of two, where the call names one; else zero.
    pub align_log2: u8,
    /// The thread, in the order in which threads first called.
    pub thread: u32,
    /// The object, in the order in which they were made. A realloc keeps its object.
    pub object: u32,
    /// Bytes requested; of a free, those that the object had.
    pub size: u64,
    /// Of a realloc, bytes that the object had before; else zero.
    pub old_size: u64,
    /// Nanoseconds since the first call.
    pub time: u64,
}

/// A trace's calls, and what could not be made sense of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steps {
    /// The file's header.
    pub header: Header,
    /// Every call that matters, in order.
    pub steps: Vec<Step>,
    /// Objects that were made.
    pub objects: u32,
    /// Threads that called.
    pub threads: u32,
    /// Frees and reallocs of blocks that the recording does not know: they were made before it
    /// began, or before a fork.
    pub foreign: u64,
    /// Frees that the recording missed: the address was given out again.
    pub missed: u64,
}

impl Steps {
    /// What the calls of `trace` did.
    ///
    /// # Panics
    /// Panics at more than 2³² objects.
    #[must_use]
    pub fn of(trace: &Trace) -> Self {
        let start = trace.calls.iter().map(|timed| timed.time).min().unwrap_or(0);
        let mut resolver = Resolver::new(start, trace);
        for timed in &trace.calls {
            resolver.settle(timed.call.sequence);
            resolver.call(timed);
        }
        resolver.settle(u64::MAX);
        resolver.out
    }

    /// The same as a trace whose ids are the objects' numbers.
    #[must_use]
    pub fn to_trace(&self) -> Trace {
        let mut sequence = 0;
        let calls = self.steps.iter().map(|step| {
            sequence += 1;
            let first = sequence;
            sequence += u64::from(step.kind == Kind::Resize);
            let id = u64::from(step.object);
            let size = if step.kind.frees() { 0 } else { step.size };
            let Step { kind, align_log2, .. } = *step;
            let call = Call { kind, align_log2, sequence: first, done: sequence, size, id, old: id };
            TimedCall { call, thread: step.thread, time: step.time }
        });
        let short = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let (foreign, missed) = (short(self.foreign), short(self.missed));
        Trace { header: Header { foreign, missed, ..self.header.clone() }, calls: calls.collect() }
    }
}

/// A live object.
#[derive(Clone, Copy)]
struct Object {
    number: u32,
    size: u64,
}

struct Resolver {
    out: Steps,
    start: u64,
    live: HashMap<u64, Object>,
    threads: HashMap<u32, u32>,
    /// Reallocs whose new blocks are not there yet: when, which, and the object if it is known.
    pending: BinaryHeap<Reverse<(u64, usize)>>,
    resizing: Vec<(TimedCall, Option<Object>)>,
}

impl Resolver {
    fn new(start: u64, trace: &Trace) -> Self {
        let out = Steps {
            header: trace.header.clone(),
            steps: Vec::with_capacity(trace.calls.len()),
            objects: 0,
            threads: 0,
            foreign: trace.header.foreign.into(),
            missed: trace.header.missed.into(),
        };
        Self {
            out,
            start,
            live: HashMap::new(),
            threads: HashMap::new(),
            pending: BinaryHeap::new(),
            resizing: Vec::new(),
        }
    }

    fn call(&mut self, timed: &TimedCall) {
        let call = &timed.call;
        match call.kind {
            Kind::Free | Kind::SizedFree => match self.live.remove(&call.id) {
                Some(object) => self.step(timed, call.kind, object.number, object.size, 0),
                None => self.out.foreign += 1,
            },
            Kind::Resize => {
                let object = self.live.remove(&call.old);
                self.out.foreign += u64::from(object.is_none());
                self.pending.push(Reverse((call.done, self.resizing.len())));
                self.resizing.push((*timed, object));
            }
            _ => {
                let number = self.make(timed, call.size);
                self.step(timed, call.kind, number, call.size, 0);
            }
        }
    }

    /// Ends the reallocs whose new blocks were there before `sequence`.
    fn settle(&mut self, sequence: u64) {
        while let Some(&Reverse((done, place))) = self.pending.peek()
            && done < sequence
        {
            self.pending.pop();
            let (timed, object) = self.resizing[place];
            let call = &timed.call;
            match object {
                Some(object) => {
                    self.insert(&timed, Object { size: call.size, ..object });
                    self.step(&timed, Kind::Resize, object.number, call.size, object.size);
                }
                None => {
                    let number = self.make(&timed, call.size);
                    self.step(&timed, Kind::Allocate, number, call.size, 0);
                }
            }
        }
        if self.pending.is_empty() {
            self.resizing.clear();
        }
    }

    fn make(&mut self, timed: &TimedCall, size: u64) -> u32 {
        let number = self.out.objects;
        self.out.objects = number.checked_add(1).expect("fewer than 2^32 objects");
        self.insert(timed, Object { number, size });
        number
    }

    fn insert(&mut self, timed: &TimedCall, object: Object) {
        if let Some(before) = self.live.insert(timed.call.id, object) {
            self.out.missed += 1;
            self.step(timed, Kind::Free, before.number, before.size, 0);
        }
    }

    fn step(&mut self, timed: &TimedCall, kind: Kind, object: u32, size: u64, old_size: u64) {
        let next = self.threads.len() as u32;
        let thread = *self.threads.entry(timed.thread).or_insert(next);
        self.out.threads = self.threads.len() as u32;
        let align_log2 = if kind.allocates() { timed.call.align_log2 } else { 0 };
        let time = timed.time.saturating_sub(self.start);
        self.out.steps.push(Step { kind, align_log2, thread, object, size, old_size, time });
    }
}
