//! The command line, checked as a whole before anything starts.

use std::time::Duration;

use clap::{CommandFactory, Parser, error::ErrorKind};

use crate::door::Doors;
use crate::profile::{Profile, ProfileName};

/// Operations of a lane where neither `--ops` nor `--seconds` says more, under `--replay`.
const REPLAY_OPERATIONS: u64 = 1_000_000;

/// Random operations against the Freestone allocator. Every block carries a pattern of its own,
/// which is checked when the block is moved, freed or sampled.
///
/// With one thread the run is deterministic: threads that it starts are waited for at once, and
/// nothing but the seed decides what is done. A failure prints the command that repeats it.
///
/// Exit status: 0 if all is well; 1 on corruption, refusal without cause, a thread that hangs
/// or books that do not balance; 2 for a wrong command line. A crash keeps its signal, after a
/// line with the seed and every lane's operation.
#[derive(Debug, Parser)]
#[command(version, name = "freestone-stress")]
struct Arguments {
    /// Lanes of operations, each a thread (and its heirs) at a time
    #[arg(long, default_value_t = 8, value_name = "N")]
    threads: usize,

    /// How long to run; 10 where --ops says nothing either
    #[arg(long, value_name = "SECONDS", conflicts_with = "ops")]
    seconds: Option<u64>,

    /// Run this many operations in each lane instead of for a time
    #[arg(long, value_name = "N")]
    ops: Option<u64>,

    /// Seed of every random choice; drawn and printed if not given
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,

    /// Repeat a run of one thread exactly: as --seed SEED --threads 1, for --ops operations
    #[arg(long, value_name = "SEED", conflicts_with_all = ["seed", "threads", "seconds"])]
    replay: Option<u64>,

    /// The mix of operations and sizes
    #[arg(long, value_enum, default_value_t = ProfileName::Server)]
    profile: ProfileName,

    /// The way blocks are asked for and given back
    #[arg(long, value_enum, default_value_t = Doors::Rust)]
    door: Doors,

    /// Bound on the bytes of live blocks; the large ones are touched sparsely
    #[arg(long, default_value_t = 512, value_name = "MIB")]
    live_mb: usize,

    /// Run below this limit on the process's address space (RLIMIT_AS): null is then an
    /// ordinary answer, and every block must survive it
    #[arg(long, value_name = "MIB")]
    limit_mb: Option<usize>,

    /// Chance of an operation to begin a moment in which the kernel refuses memory. Done from
    /// outside, by lowering RLIMIT_AS for a few operations: mmap, and mremap to a greater
    /// length, then fail with ENOMEM in every thread; munmap and madvise are not affected
    #[arg(long, value_name = "RATE")]
    faults: Option<f64>,

    /// Leave forks out. Under qemu-user a child may find a lock of the emulator's own taken
    #[arg(long)]
    no_forks: bool,

    /// Print the report as JSON
    #[arg(long)]
    json: bool,

    /// Self-test: at this operation lane 0 overwrites one byte of a block it holds; the run
    /// must end with a report of corruption
    #[arg(long, value_name = "N")]
    corrupt_after: Option<u64>,
}

/// When a lane stops.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Length {
    Time(Duration),
    Operations(u64),
}

/// Whether the order of events may depend on anything but the seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// One lane; every thread it starts is waited for before it goes on.
    Strict,
    /// Lanes and visitors run side by side.
    Free,
}

/// How the report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    Text,
    Json,
}

/// A command line that makes sense.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) threads: usize,
    pub(crate) length: Length,
    pub(crate) seed: u64,
    pub(crate) order: Order,
    pub(crate) profile: &'static Profile,
    pub(crate) profile_name: String,
    pub(crate) doors: Doors,
    pub(crate) live_bytes: usize,
    pub(crate) limit_mb: Option<usize>,
    /// Zero where none were asked for.
    pub(crate) fault_rate: f64,
    pub(crate) no_forks: bool,
    pub(crate) output: Output,
    pub(crate) corrupt_after: Option<u64>,
}

impl Options {
    /// Reads the command line. Ends the process with status 2 where it makes no sense.
    pub(crate) fn read() -> Self {
        let arguments = Arguments::parse();
        match Self::checked(&arguments) {
            Ok(options) => options,
            Err(why) => usage_error(why),
        }
    }

    fn checked(arguments: &Arguments) -> Result<Self, String> {
        let threads = if arguments.replay.is_some() { 1 } else { arguments.threads };
        if !(1..=256).contains(&threads) {
            return Err(format!("--threads must be from 1 to 256, not {threads}"));
        }
        if !(1..=1 << 20).contains(&arguments.live_mb) {
            return Err(format!("--live-mb must be from 1 to 1048576, not {}", arguments.live_mb));
        }
        if arguments.limit_mb.is_some_and(|limit| !(1..=1 << 20).contains(&limit)) {
            return Err("--limit-mb must be from 1 to 1048576".to_owned());
        }
        let fault_rate = arguments.faults.unwrap_or(0.0);
        if !(0.0..=1.0).contains(&fault_rate) {
            return Err(format!("--faults is a chance, from 0 to 1, not {fault_rate}"));
        }
        let length = match (arguments.ops, arguments.seconds, arguments.replay) {
            (Some(0), ..) => return Err("--ops must be at least 1".to_owned()),
            (_, Some(0), _) => return Err("--seconds must be at least 1".to_owned()),
            (Some(operations), ..) => Length::Operations(operations),
            (None, None, Some(_)) => Length::Operations(REPLAY_OPERATIONS),
            (None, seconds, _) => Length::Time(Duration::from_secs(seconds.unwrap_or(10))),
        };
        Ok(Self {
            threads,
            length,
            seed: arguments.replay.or(arguments.seed).unwrap_or_else(drawn_seed),
            order: if threads == 1 { Order::Strict } else { Order::Free },
            profile: arguments.profile.profile(),
            profile_name: arguments.profile.to_string(),
            doors: arguments.door,
            live_bytes: arguments.live_mb << 20,
            limit_mb: arguments.limit_mb,
            fault_rate,
            no_forks: arguments.no_forks,
            output: if arguments.json { Output::Json } else { Output::Text },
            corrupt_after: arguments.corrupt_after,
        })
    }
}

/// Says what is wrong with the command line and ends the process with status 2.
pub(crate) fn usage_error(why: impl std::fmt::Display) -> ! {
    Arguments::command().error(ErrorKind::ValueValidation, why).exit()
}

/// A seed nobody chose: the clock's, short enough to be typed again.
fn drawn_seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    (now.as_nanos() as u64 ^ (u64::from(std::process::id()) << 20)) % 1_000_000_000
}
