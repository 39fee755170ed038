//! Steps to a script: slots, and what waits for what.

use std::collections::HashMap;

use super::layout::{Action, Head, Operation, assemble};
use crate::format::Kind;
use crate::steps::{Step, Steps};

/// malloc's alignment, for blocks that are as long.
const MALLOC_ALIGN_LOG2: u32 = 4;

/// Compiles `steps`. Returns the script's bytes.
#[must_use]
pub fn compile(steps: &Steps) -> Vec<u8> {
    let mut compiler = Compiler::new(steps);
    let mut last_thread = 0;
    for step in &steps.steps {
        compiler.step(step, last_thread);
        last_thread = step.thread as usize;
    }
    let head = Head {
        magic: 0,
        threads: steps.threads.max(1),
        slots: compiler.slots,
        calls: steps.steps.len() as u64,
        end_bytes: compiler.live,
        peak_bytes: compiler.peak,
    };
    assemble(head, &compiler.threads)
}

/// Who touched an object last, and where in that thread's operations.
#[derive(Clone, Copy)]
struct Touched {
    slot: u32,
    /// The thread whose list of free slots the slot comes from.
    owner: usize,
    thread: usize,
    place: usize,
}

struct Compiler {
    threads: Vec<Vec<Operation>>,
    objects: Vec<Option<Touched>>,
    /// Slots that each thread may use again.
    free: Vec<Vec<u32>>,
    slots: u32,
    /// How many operations of another thread (second) a thread (first) has waited for.
    waited: HashMap<(usize, usize), usize>,
    live: u64,
    peak: u64,
}

impl Compiler {
    fn new(steps: &Steps) -> Self {
        let threads = steps.threads.max(1) as usize;
        Self {
            threads: vec![Vec::new(); threads],
            objects: vec![None; steps.objects as usize],
            free: vec![Vec::new(); threads],
            slots: 0,
            waited: HashMap::new(),
            live: 0,
            peak: 0,
        }
    }

    fn step(&mut self, step: &Step, last_thread: usize) {
        let thread = step.thread as usize;
        if thread != 0 && self.threads[thread].is_empty() {
            // Whoever called just before is the most likely to have started it.
            self.push(last_thread, Action::Start, step.thread, 0, 0);
        }
        let object = step.object as usize;
        let touched = match self.objects[object] {
            Some(touched) => touched,
            None => Touched { slot: self.slot(thread), owner: thread, thread, place: 0 },
        };
        if touched.thread != thread {
            self.wait(thread, touched);
        }
        let place = self.push(thread, action(step.kind), touched.slot, align_log2(step), step.size);
        if step.kind.frees() {
            self.objects[object] = None;
            // Another thread's slot is not used again: whoever uses it would have to wait.
            if touched.owner == thread {
                self.free[thread].push(touched.slot);
            }
        } else {
            self.objects[object] = Some(Touched { thread, place, ..touched });
        }
        self.count(step);
    }

    fn count(&mut self, step: &Step) {
        if step.kind.frees() {
            self.live -= step.size;
        } else {
            self.live = self.live + step.size - step.old_size;
        }
        self.peak = self.peak.max(self.live);
    }

    fn slot(&mut self, thread: usize) -> u32 {
        self.free[thread].pop().unwrap_or_else(|| {
            self.slots += 1;
            self.slots - 1
        })
    }

    /// Has `thread` wait until the object's last operation is done, unless it has waited for later
    /// ones.
    fn wait(&mut self, thread: usize, touched: Touched) {
        let done = touched.place + 1;
        let waited = self.waited.entry((thread, touched.thread)).or_insert(0);
        if *waited >= done {
            return;
        }
        *waited = done;
        self.threads[touched.thread][touched.place].awaited = true;
        self.push(thread, Action::Wait, touched.thread as u32, 0, done as u64);
    }

    fn push(&mut self, thread: usize, action: Action, slot: u32, align_log2: u8, size: u64) -> usize {
        let operations = &mut self.threads[thread];
        operations.push(Operation { action, align_log2, awaited: false, unused: 0, slot, size });
        operations.len() - 1
    }
}

fn action(kind: Kind) -> Action {
    match kind {
        Kind::Allocate | Kind::Aligned => Action::Allocate,
        Kind::Zeroed | Kind::ZeroedAligned => Action::Zeroed,
        Kind::Resize => Action::Resize,
        Kind::Free | Kind::SizedFree => Action::Free,
    }
}

/// What the call named; else malloc's, but no more than the size, as allocators tell such requests
/// from those for an alignment.
fn align_log2(step: &Step) -> u8 {
    if matches!(step.kind, Kind::Aligned | Kind::ZeroedAligned) {
        return step.align_log2;
    }
    step.size.max(1).ilog2().min(MALLOC_ALIGN_LOG2) as u8
}
