//! A lane: its blocks, its choices, its count; and the loop that lives through them, thread
//! after thread.

use std::sync::atomic::Ordering;

use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

use crate::block::Block;
use crate::exchange::Mailbox;
use crate::failure::{self, Damage, Witness};
use crate::limits;
use crate::native_thread::{self, Thread};
use crate::operations::Next;
use crate::options::Order;
use crate::run::{Ended, Run};
use crate::timing::Times;
use crate::visitor::Visitor;

/// Stack of a lane's threads.
const STACK_BYTES: usize = 512 << 10;
/// Operations between two looks into the mailbox.
const MAIL_INTERVAL: u64 = 16;
/// Operations that a moment of refusal lasts, at most.
const REFUSAL: u64 = 32;
/// Visitors that a lane does not wait for at once.
pub(crate) const VISITORS: usize = 4;

/// How often something came about.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Requests answered with null.
    pub(crate) refused: u64,
    /// Requests not made, since the live blocks are as many bytes as they may be.
    pub(crate) full: u64,
    pub(crate) handed_over: u64,
    pub(crate) visits: u64,
    pub(crate) heirs: u64,
    pub(crate) forks: u64,
    pub(crate) purges: u64,
    pub(crate) refusals: u64,
    /// Threads and children that the kernel refused.
    pub(crate) no_process: u64,
}

impl Tally {
    /// Each count and its name.
    pub(crate) fn named(&self) -> [(&'static str, u64); 9] {
        [
            ("null_answers", self.refused),
            ("over_budget", self.full),
            ("handed_over", self.handed_over),
            ("visits", self.visits),
            ("heirs", self.heirs),
            ("forks", self.forks),
            ("purges", self.purges),
            ("moments_of_refusal", self.refusals),
            ("threads_and_forks_refused", self.no_process),
        ]
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.refused += other.refused;
        self.full += other.full;
        self.handed_over += other.handed_over;
        self.visits += other.visits;
        self.heirs += other.heirs;
        self.forks += other.forks;
        self.purges += other.purges;
        self.refusals += other.refusals;
        self.no_process += other.no_process;
    }
}

/// A number that follows from everything a lane chose: equal for equal runs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Digest(pub(crate) u64);

impl Digest {
    pub(crate) fn note(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

/// A lane.
pub(crate) struct Worker {
    pub(crate) run: &'static Run,
    pub(crate) lane: usize,
    pub(crate) random: Xoshiro256PlusPlus,
    pub(crate) operation: u64,
    pub(crate) blocks: Vec<Block>,
    pub(crate) visitors: Vec<Visitor>,
    pub(crate) times: Times,
    pub(crate) tally: Tally,
    pub(crate) digest: Digest,
    /// What the lane is doing, for a report.
    pub(crate) doing: &'static str,
    ids: u64,
    pouch: Vec<Block>,
    /// The thread whose heir the present one is.
    predecessor: Option<Thread>,
    /// When the moment of refusal that this lane began ends.
    refusal_until: Option<u64>,
    /// When to spoil a block, for the self-test.
    spoil_at: Option<u64>,
}

impl Worker {
    pub(crate) fn new(run: &'static Run, lane: usize) -> Box<Self> {
        let seed = run.options.seed ^ (lane as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Box::new(Self {
            run,
            lane,
            random: Xoshiro256PlusPlus::seed_from_u64(seed),
            operation: 0,
            // With room for what mail and visitors bring beyond the profile's number.
            blocks: Vec::with_capacity(run.options.profile.blocks + 1024),
            visitors: Vec::with_capacity(VISITORS),
            times: Times::new(lane),
            tally: Tally::default(),
            digest: Digest::default(),
            doing: "start",
            ids: 0,
            pouch: Mailbox::pouch(),
            predecessor: None,
            refusal_until: None,
            spoil_at: run.options.corrupt_after.filter(|_| lane == 0),
        })
    }

    /// Starts the lane in a thread of its own.
    pub(crate) fn start(self: Box<Self>) -> Result<(), Box<Self>> {
        // The thread is joined by whoever comes after it, under its own name for itself.
        native_thread::spawn(STACK_BYTES, self, live).map(drop)
    }

    /// Continues the lane in a new thread. The lane, if there can't be one.
    fn bequeath(mut self: Box<Self>) -> Result<(), Box<Self>> {
        if let Some(predecessor) = self.predecessor.take() {
            predecessor.join();
        }
        self.predecessor = Some(Thread::current());
        self.tally.heirs += 1;
        self.start().map_err(|mut lane| {
            lane.predecessor = None;
            lane.tally.heirs -= 1;
            lane.tally.no_process += 1;
            lane
        })
    }

    /// A new id, unlike any other lane's.
    pub(crate) fn id(&mut self) -> u64 {
        self.ids += 1;
        (self.lane as u64 + 1) << 48 | self.ids
    }

    pub(crate) fn witness(&self) -> Witness {
        Witness { lane: self.lane, operation: self.operation, doing: self.doing }
    }

    /// One operation and what belongs to it.
    fn step(&mut self) -> Result<Next, Damage> {
        self.times.operation = self.operation;
        self.run.lanes[self.lane].operation.store(self.operation, Ordering::Relaxed);
        if self.operation.is_multiple_of(MAIL_INTERVAL) {
            self.read_mail()?;
        }
        self.refuse();
        self.spoil_one();
        let next = self.operate()?;
        self.operation += 1;
        Ok(next)
    }

    fn read_mail(&mut self) -> Result<(), Damage> {
        self.doing = "take over a block";
        let mut pouch = std::mem::take(&mut self.pouch);
        self.run.mailboxes[self.lane].take(&mut pouch);
        for block in pouch.drain(..) {
            block.check()?;
            self.keep(block)?;
        }
        self.pouch = pouch;
        Ok(())
    }

    /// Keeps a block that came from elsewhere, or frees it if there are many already.
    pub(crate) fn keep(&mut self, block: Block) -> Result<(), Damage> {
        if self.blocks.len() < self.run.options.profile.blocks {
            self.blocks.push(block);
            return Ok(());
        }
        self.run.release(block.free(&mut self.times)?);
        Ok(())
    }

    /// Begins and ends moments of refusal.
    fn refuse(&mut self) {
        let rate = self.run.options.fault_rate;
        match self.refusal_until {
            Some(until) if until <= self.operation => {
                limits::end_refusal();
                self.refusal_until = None;
            }
            Some(_) => {}
            None if rate > 0.0 && self.random.random_bool(rate) => {
                self.refusal_until = Some(self.operation + self.random.random_range(1..=REFUSAL));
                self.tally.refusals += 1;
                limits::begin_refusal();
            }
            None => {}
        }
    }

    /// The self-test's damage, once there is a block to be damaged.
    fn spoil_one(&mut self) {
        if !self.blocks.is_empty() && self.spoil_at.take_if(|at| *at <= self.operation).is_some() {
            let at = self.random.random_range(0..self.blocks.len());
            self.blocks[at].spoil();
        }
    }

    /// Ends the lane's own part: everything that it began is ended, its blocks stay.
    fn finish(&mut self) -> Result<(), Damage> {
        if self.refusal_until.take().is_some() {
            limits::end_refusal();
        }
        while let Some(visitor) = self.visitors.pop() {
            self.take_leave(visitor)?;
        }
        if let Some(predecessor) = self.predecessor.take() {
            predecessor.join();
        }
        self.doing = "a last look at every block";
        self.blocks.iter().try_for_each(Block::check)
    }

    /// Waits for a visitor and keeps what it left.
    pub(crate) fn take_leave(&mut self, visitor: Visitor) -> Result<(), Damage> {
        for block in visitor.join() {
            block.check()?;
            self.keep(block)?;
        }
        Ok(())
    }

    /// The blocks that the lane has.
    pub(crate) fn held(&self) -> impl Iterator<Item = &Block> {
        self.blocks.iter()
    }

    /// Frees everything, after the run.
    pub(crate) fn clear(&mut self) -> Result<(), Damage> {
        self.doing = "free everything";
        self.read_mail()?;
        while let Some(block) = self.blocks.pop() {
            self.run.release(block.free(&mut self.times)?);
        }
        Ok(())
    }
}

/// A thread's part of a lane's life.
fn live(mut worker: Box<Worker>) {
    if worker.run.options.order == Order::Strict
        && let Some(predecessor) = worker.predecessor.take()
    {
        predecessor.join();
    }
    while worker.run.goes_on(worker.operation) {
        match worker.step() {
            Ok(Next::Operation) => {}
            Ok(Next::Thread) => match worker.bequeath() {
                Ok(()) => return,
                Err(lane) => worker = lane,
            },
            Err(damage) => failure::report(&damage, worker.witness()),
        }
    }
    worker.doing = "end the lane";
    if let Err(damage) = worker.finish() {
        failure::report(&damage, worker.witness());
    }
    let run = worker.run;
    run.end(Ended { worker, thread: Thread::current() });
}
