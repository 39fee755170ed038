//! Who runs when. Every repetition visits every row, and on every row all
//! allocators take turns, another one first each time: what disturbs the machine
//! for a while disturbs all of them, and no row as a whole.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use freestone_versus::task::Task;
use freestone_versus::workloads::Judged;
use indicatif::{ProgressBar, ProgressStyle};

use super::building::{Peer, Roster};
use super::cli::{Linking, Mode, Plan};
use super::faults::FaultCosts;
use super::machine::{self, Machine};
use super::process::{Outcome, Running};
use super::results::{Ended, MeasuredRow, Report, Runs};
use super::rows::Row;
use super::verdict;

/// A task that takes longer has hung.
const LIMIT: Duration = Duration::from_secs(180);

/// Passes of the calibration at most.
const CALIBRATIONS: usize = 4;

/// A taste of a workload is one part in so many of a sample.
const TASTE: u64 = 8;

/// How many times the length of a sample the slowest allocator may take.
const SLOWEST: u32 = 4;

/// Rounds of a sample at most.
const MOST_ROUNDS: u64 = 1 << 24;

/// Runs the plan.
pub(crate) fn run(plan: &Plan, roster: Roster) -> Result<Report> {
    let began = SystemTime::now();
    let machine = Machine::this();
    eprintln!("warming up memory until a page fault costs the same twice");
    let faults = FaultCosts::warm_up(plan.mode.memory_to_warm())?;
    let mut run = Run::new(plan, roster.peers, faults);
    run.calibrate();
    for repetition in 0..plan.repeat {
        let all = (0..run.rows.len()).collect();
        run.repetition(repetition, all)?;
    }
    run.settle()?;
    run.bar.finish_and_clear();
    Ok(Report {
        began: began.duration_since(UNIX_EPOCH)?.as_secs(),
        seconds: began.elapsed()?.as_secs(),
        command: command(),
        mode: match plan.mode {
            Mode::Full => "full",
            Mode::Quick => "quick",
        }
        .to_owned(),
        linking: match plan.linking {
            Linking::Plain => "release profile, no link-time optimisation",
            Linking::Lto => "release profile, fat link-time optimisation, one codegen unit",
        }
        .to_owned(),
        seed: plan.seed,
        bound: plan.bound,
        second_ms: plan.mode.second_ms(),
        machine,
        load_after: machine::load(),
        faults: run.faults,
        peers: run.peers,
        left_out: roster.left_out,
        rows: run.rows,
    })
}

/// How a reader would run the same.
fn command() -> String {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut command = "cargo run --release -p freestone-versus".to_owned();
    if !arguments.is_empty() {
        command += " -- ";
        command += &arguments.join(" ");
    }
    command
}

/// A run under way.
struct Run<'a> {
    plan: &'a Plan,
    peers: Vec<Peer>,
    rows: Vec<MeasuredRow>,
    /// What a sample of each row takes, as far as is known.
    cost: Vec<Duration>,
    faults: FaultCosts,
    bar: ProgressBar,
}

impl<'a> Run<'a> {
    fn new(plan: &'a Plan, peers: Vec<Peer>, faults: FaultCosts) -> Self {
        let rows: Vec<MeasuredRow> = plan
            .rows
            .iter()
            .map(|row| MeasuredRow {
                row: row.clone(),
                rounds: 1,
                runs: peers.iter().map(|peer| (peer.name.clone(), Runs::default())).collect(),
            })
            .collect();
        let bar = ProgressBar::new(0).with_style(
            ProgressStyle::with_template("{bar:30} {percent:>3}%  {eta} left  {msg}")
                .expect("the template is legal"),
        );
        Self { plan, cost: vec![Duration::ZERO; rows.len()], peers, rows, faults, bar }
    }

    fn task(&self, row: &Row, rounds: u64) -> Task {
        Task {
            workload: row.workload.clone(),
            seed: self.plan.seed,
            threads: row.threads,
            rounds,
            second_ms: self.plan.mode.second_ms(),
            recording: row.recording.clone(),
        }
    }

    /// Finds for each row how many rounds make a sample: as many as take the
    /// subject the time that a sample should, fewer where another would take many
    /// times as long. All allocators then do the same number.
    fn calibrate(&mut self) {
        for index in 0..self.rows.len() {
            let row = self.rows[index].row.clone();
            self.bar.tick();
            self.bar.set_message(format!("calibrating {}", row.title()));
            if row.calibrated {
                let rounds = self.rounds_of_subject(&row);
                self.rows[index].rounds = self.rounds_of_slowest(&row, rounds);
            }
            self.cost[index] = self.expected(&row);
        }
        let all: Duration = self.cost.iter().sum();
        self.bar.set_length((all * self.plan.repeat as u32).as_millis() as u64);
        self.bar.reset_eta();
    }

    /// As many rounds as take the subject the time that a sample should.
    fn rounds_of_subject(&self, row: &Row) -> u64 {
        let wanted = self.plan.mode.sample_length();
        let mut rounds = 1;
        for _ in 0..CALIBRATIONS {
            let Some(wall) = self.wall(&self.peers[0], row, rounds) else {
                // The measuring will say what is wrong.
                break;
            };
            let share = wanted.div_duration_f64(wall);
            // Short samples say little about long ones: step by step.
            rounds = ((rounds as f64 * share.min(200.0)) as u64).clamp(1, MOST_ROUNDS);
            if rounds == 1 || (0.7..1.4).contains(&share) {
                break;
            }
        }
        rounds
    }

    /// `rounds`, or as many as keep the slowest of the others within bounds, by
    /// a fraction of a sample from each.
    fn rounds_of_slowest(&self, row: &Row, rounds: u64) -> u64 {
        let fraction = rounds.div_ceil(TASTE);
        let most = self.plan.mode.sample_length() * SLOWEST;
        let slowest = self.peers[1..]
            .iter()
            .filter_map(|peer| self.wall(peer, row, fraction))
            .max()
            .unwrap_or_default();
        let share = most.div_duration_f64(slowest.max(Duration::from_nanos(1)));
        rounds.min((fraction as f64 * share) as u64).max(1)
    }

    /// What a sample of that many rounds takes.
    fn wall(&self, peer: &Peer, row: &Row, rounds: u64) -> Option<Duration> {
        match execute(peer, &self.task(row, rounds)) {
            Outcome::Done(sample) => Some(Duration::from_nanos(sample.wall_ns.max(1))),
            Outcome::Skipped | Outcome::Failed(_) => None,
        }
    }

    /// A guess of what one repetition of a row takes, for the time left.
    fn expected(&self, row: &Row) -> Duration {
        let peers = self.peers.len() as u32;
        match row.judged {
            Judged::Memory if row.workload.ends_with("fragmentation") => {
                Duration::from_millis(60 * self.plan.mode.second_ms() + 2000)
            }
            Judged::Memory => Duration::from_secs(3),
            _ => (self.plan.mode.sample_length() * 3 / 2) * peers,
        }
    }

    /// One more sample of each of `rows` from every allocator.
    fn repetition(&mut self, repetition: usize, rows: Vec<usize>) -> Result<()> {
        self.faults.probe()?;
        for index in rows {
            self.bar.set_message(format!("{}: {}", repetition + 1, self.rows[index].title()));
            match self.rows[index].row.judged {
                Judged::Memory => self.side_by_side(index, repetition),
                Judged::Time | Judged::Tail | Judged::Recording => self.in_turn(index, repetition),
            }
            self.bar.inc(self.cost[index].as_millis() as u64);
        }
        Ok(())
    }

    /// Those that still run on a row, another one first each time.
    fn turns(&self, index: usize, repetition: usize) -> Vec<Peer> {
        let mut peers = self.peers.clone();
        peers.rotate_left((index + repetition) % self.peers.len());
        peers.retain(|peer| self.rows[index].runs[&peer.name].ended.is_none());
        peers
    }

    fn in_turn(&mut self, index: usize, repetition: usize) {
        let task = self.task(&self.rows[index].row, self.rows[index].rounds);
        for peer in self.turns(index, repetition) {
            let outcome = execute(&peer, &task);
            self.keep(index, repetition, &peer, outcome);
        }
    }

    /// All at once: what mostly sleeps and is judged by memory alone.
    fn side_by_side(&mut self, index: usize, repetition: usize) {
        let task = self.task(&self.rows[index].row, self.rows[index].rounds);
        let running: Vec<_> = self
            .turns(index, repetition)
            .into_iter()
            .map(|peer| (Running::start(&peer.binary, &task), peer))
            .collect();
        for (running, peer) in running {
            let outcome = match running {
                Ok(running) => running.finish(LIMIT),
                Err(error) => Outcome::Failed(error.to_string()),
            };
            self.keep(index, repetition, &peer, outcome);
        }
    }

    fn keep(&mut self, index: usize, repetition: usize, peer: &Peer, outcome: Outcome) {
        let Some(runs) = self.rows[index].runs.get_mut(&peer.name) else {
            return;
        };
        match outcome {
            Outcome::Done(sample) => {
                runs.samples.insert(repetition, *sample);
            }
            Outcome::Skipped => runs.ended = Some(Ended::Skipped),
            Outcome::Failed(reason) => {
                self.bar.suspend(|| {
                    eprintln!("{} failed on {}: {reason}", peer.name, self.rows[index].title());
                });
                if let Some(runs) = self.rows[index].runs.get_mut(&peer.name) {
                    runs.ended = Some(Ended::Failed(reason));
                }
            }
        }
    }

    /// Repeats the rows that lie too near a bound to be judged.
    fn settle(&mut self) -> Result<()> {
        for repetition in self.plan.repeat..self.plan.repeat * self.plan.mode.most_repeats() {
            let open: Vec<usize> = (0..self.rows.len())
                .filter(|&index| verdict::is_open(&self.rows[index], &self.peers, self.plan.bound))
                .collect();
            if open.is_empty() {
                break;
            }
            let cost: Duration = open.iter().map(|&index| self.cost[index]).sum();
            self.bar.inc_length(cost.as_millis() as u64);
            self.repetition(repetition, open)?;
        }
        Ok(())
    }
}

fn execute(peer: &Peer, task: &Task) -> Outcome {
    match Running::start(&peer.binary, task) {
        Ok(running) => running.finish(LIMIT),
        Err(error) => Outcome::Failed(error.to_string()),
    }
}
