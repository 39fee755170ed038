//! Threads that prepare apart, start together and are measured together.

use std::sync::Barrier;
use std::thread;

use super::Bench;
use super::meter::Meter;

/// The gates that all threads and the clock pass together.
#[derive(Debug)]
struct Gates {
    ready: Barrier,
    start: Barrier,
    finish: Barrier,
}

/// One thread of a crew.
#[derive(Debug)]
pub(crate) struct Worker<'a> {
    /// Which of the threads this is, from zero.
    pub(crate) index: usize,
    /// Rounds that this thread does.
    pub(crate) rounds: u64,
    /// This thread's own random numbers.
    pub(crate) random: fastrand::Rng,
    gates: &'a Gates,
}

impl Worker<'_> {
    /// Does `work` while the clock runs; called exactly once, by every worker.
    pub(crate) fn measured<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        self.gates.ready.wait();
        self.gates.start.wait();
        let result = work(self);
        self.gates.finish.wait();
        result
    }
}

impl Bench {
    /// Measures `threads` threads that each run `job`, in which they call
    /// [`Worker::measured`]; `operations` is what one thread does in one round.
    /// The rounds asked for are shared out: more threads do the same work in all.
    pub(crate) fn crew<T: Send>(&mut self, operations: u64, job: impl Fn(Worker) -> T + Sync) -> Vec<T> {
        let threads = self.threads();
        let rounds = self.rounds_asked().div_ceil(threads as u64);
        let gates = Gates {
            ready: Barrier::new(threads + 1),
            start: Barrier::new(threads + 1),
            finish: Barrier::new(threads + 1),
        };
        let (gates, job) = (&gates, &job);
        let seed = self.seed();
        thread::scope(|scope| {
            let crew: Vec<_> = (0..threads)
                .map(|index| {
                    scope.spawn(move || {
                        job(Worker {
                            index,
                            rounds,
                            random: fastrand::Rng::with_seed(seed ^ (index as u64 + 1) << 32),
                            gates,
                        })
                    })
                })
                .collect();
            gates.ready.wait();
            let meter = Meter::start();
            gates.start.wait();
            gates.finish.wait();
            self.keep(operations * rounds * threads as u64, meter);
            crew.into_iter().map(|worker| worker.join().expect("workers do not panic")).collect()
        })
    }
}
