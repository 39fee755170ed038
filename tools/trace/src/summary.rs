//! What the calls of a trace amount to.

use std::collections::BTreeMap;

use crate::format::Kind;
use crate::steps::{Step, Steps};

/// Points of the curve of live bytes.
const CURVE_POINTS: usize = 600;

/// Sizes and lifetimes are counted by powers of two; the last class has all that are longer.
pub const POWERS: usize = 40;

/// Objects of sizes that have the same power of two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SizeClass {
    /// Allocations, and reallocs to such a size.
    pub requests: u64,
    /// Bytes requested by them.
    pub bytes: u64,
    /// Blocks live at the peak.
    pub live_at_peak: u64,
}

/// A moment of the recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Calls so far.
    pub calls: u64,
    /// Nanoseconds since the first call.
    pub time: u64,
    /// Bytes live.
    pub bytes: u64,
    /// Objects live.
    pub objects: u64,
}

/// What the calls of a trace amount to.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Calls by kind.
    pub calls: BTreeMap<Kind, u64>,
    /// Nanoseconds from the first call to the last.
    pub time: u64,
    /// Bytes requested by all calls together.
    pub requested: u64,
    /// The most bytes live at a time.
    pub peak_bytes: u64,
    /// How many calls had been made then.
    pub peak_call: u64,
    /// Bytes live at the end.
    pub end_bytes: u64,
    /// Objects live at the end.
    pub end_objects: u64,
    /// Live bytes, averaged over the calls.
    pub average_bytes: f64,
    /// By power of two of the size.
    pub sizes: Vec<SizeClass>,
    /// Objects that were freed, by the powers of two of their size and of their lifetime in calls.
    pub lifetimes: Vec<[u64; POWERS]>,
    /// Frees by a thread that did not make the block.
    pub frees_elsewhere: u64,
    /// Objects that realloc changed at least once.
    pub resized_objects: u64,
    /// The most reallocs of one object.
    pub longest_chain: u64,
    /// Reallocs to more bytes.
    pub growths: u64,
    /// How often each size was requested.
    pub requests: BTreeMap<u64, u64>,
    /// How many blocks of each size were live at the peak.
    pub at_peak: BTreeMap<u64, u64>,
    /// Live bytes over time.
    pub curve: Vec<Moment>,
}

/// The power of two of a size or a lifetime.
#[must_use]
pub fn power(number: u64) -> usize {
    (number.max(1).ilog2() as usize).min(POWERS - 1)
}

/// A live object.
#[derive(Clone, Copy, Default)]
struct Object {
    made: u64,
    maker: u32,
    resizes: u64,
}

impl Summary {
    /// The summary of `steps`.
    #[must_use]
    pub fn of(steps: &Steps) -> Self {
        let mut counting = Counting {
            summary: Self {
                sizes: vec![SizeClass::default(); POWERS],
                lifetimes: vec![[0; POWERS]; POWERS],
                ..Self::default()
            },
            objects: vec![Object::default(); steps.objects as usize],
            live: 0,
            live_objects: 0,
            sum: 0.0,
            every: (steps.steps.len() / CURVE_POINTS).max(1) as u64,
        };
        for (place, step) in steps.steps.iter().enumerate() {
            counting.step(place as u64, step);
        }
        let mut summary = counting.end(steps);
        summary.at_peak = at_peak(&steps.steps[..summary.peak_call as usize]);
        for (&size, &blocks) in &summary.at_peak {
            summary.sizes[power(size)].live_at_peak += blocks;
        }
        summary
    }

    /// All calls.
    #[must_use]
    pub fn all_calls(&self) -> u64 {
        self.calls.values().sum()
    }

    /// Frees.
    #[must_use]
    pub fn frees(&self) -> u64 {
        self.calls.iter().filter(|(kind, _)| kind.frees()).map(|(_, count)| count).sum()
    }
}

struct Counting {
    summary: Summary,
    objects: Vec<Object>,
    live: u64,
    live_objects: u64,
    sum: f64,
    /// Calls from one point of the curve to the next.
    every: u64,
}

impl Counting {
    fn step(&mut self, place: u64, step: &Step) {
        let summary = &mut self.summary;
        *summary.calls.entry(step.kind).or_default() += 1;
        summary.time = summary.time.max(step.time);
        let object = &mut self.objects[step.object as usize];
        if step.kind.frees() {
            summary.lifetimes[power(step.size)][power(place - object.made)] += 1;
            summary.frees_elsewhere += u64::from(object.maker != step.thread);
            self.live -= step.size;
            self.live_objects -= 1;
        } else {
            request(summary, step.size);
            self.live = self.live + step.size - step.old_size;
            if step.kind == Kind::Resize {
                object.resizes += 1;
                summary.resized_objects += u64::from(object.resizes == 1);
                summary.longest_chain = summary.longest_chain.max(object.resizes);
                summary.growths += u64::from(step.size > step.old_size);
            } else {
                *object = Object { made: place, maker: step.thread, resizes: 0 };
                self.live_objects += 1;
            }
        }
        if self.live > summary.peak_bytes {
            summary.peak_bytes = self.live;
            summary.peak_call = place + 1;
        }
        self.sum += self.live as f64;
        if place.is_multiple_of(self.every) {
            self.point(place + 1);
        }
    }

    fn point(&mut self, calls: u64) {
        let time = self.summary.time;
        self.summary.curve.push(Moment { calls, time, bytes: self.live, objects: self.live_objects });
    }

    fn end(mut self, steps: &Steps) -> Summary {
        self.point(steps.steps.len() as u64);
        self.summary.end_bytes = self.live;
        self.summary.end_objects = self.live_objects;
        self.summary.average_bytes = self.sum / steps.steps.len().max(1) as f64;
        self.summary
    }
}

fn request(summary: &mut Summary, size: u64) {
    summary.requested += size;
    *summary.requests.entry(size).or_default() += 1;
    let class = &mut summary.sizes[power(size)];
    class.requests += 1;
    class.bytes += size;
}

/// How many blocks of each size are live after `steps`.
fn at_peak(steps: &[Step]) -> BTreeMap<u64, u64> {
    let mut live = BTreeMap::new();
    for step in steps {
        let gone = match step.kind {
            Kind::Resize => Some(step.old_size),
            kind if kind.frees() => Some(step.size),
            _ => None,
        };
        if let Some(count) = gone.and_then(|size| live.get_mut(&size)) {
            *count -= 1;
        }
        if !step.kind.frees() {
            *live.entry(step.size).or_default() += 1;
        }
    }
    live.retain(|_, count| *count > 0);
    live
}
