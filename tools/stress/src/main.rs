//! Stress test: random operations against Freestone, every block checked.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `options`, `profile` | the command line; the mixes of operations and sizes |
//! | `run` | what the whole run shares |
//! | `worker`, `operations` | a lane, and what it can do |
//! | `visitor`, `teardown`, `forked` | short threads, their ends, forked children |
//! | `block`, `pattern`, `ranges` | the shadow: what is live, and what it must hold |
//! | `door` | the two ways into the allocator |
//! | `whose` | groups, and the shadow's count of each |
//! | `exchange` | blocks on their way between lanes |
//! | `limits` | memory that the kernel refuses |
//! | `failure`, `crash` | reports of what went wrong |
//! | `monitor`, `timing`, `process` | progress, latency, what the kernel says |
//! | `recovery`, `books`, `report` | the end of a run |
//! | `native_thread` | threads straight from pthreads |

mod block;
mod books;
mod crash;
mod door;
mod exchange;
mod failure;
mod forked;
mod limits;
mod monitor;
mod native_thread;
mod operations;
mod options;
mod pattern;
mod process;
mod profile;
mod ranges;
mod recovery;
mod report;
mod run;
mod teardown;
mod timing;
mod visitor;
mod whose;
mod worker;

use std::process::ExitCode;

use block::Block;
use books::{Books, Entry};
use failure::{Damage, Witness};
use options::{Options, Output, usage_error};
use report::{Report, Sums};
use run::Run;
use worker::Worker;

#[global_allocator]
static ALLOC: limits::Exempt = limits::Exempt::new();

/// Address space that a lane needs to start: its stack, and a chunk.
const LANE_BYTES: usize = 8 << 20;
/// Address space for everything else, or recovery would have no room.
const LEAST_ROOM: usize = 64 << 20;

fn main() -> ExitCode {
    let options = Options::read();
    if options.output == Output::Text {
        println!(
            "seed {}, profile {}, door {}, threads {}, live at most {} MiB",
            options.seed,
            options.profile_name,
            options.doors.name(),
            options.threads,
            options.live_bytes >> 20
        );
    }
    process::one_libc_arena();
    crash::prepare();
    teardown::prepare();
    let run = Run::begin(options);
    let before = Entry::now(run);
    let limit = run.options.limit_mb.map(|megabytes| megabytes << 20);
    let least = LEAST_ROOM + before.memory.mapped + run.lanes.len() * LANE_BYTES;
    if let Some(limit) = limit
        && limit < least
    {
        usage_error(format_args!("--limit-mb must be at least {} for these lanes", (least >> 20) + 1));
    }
    let started = limits::exempt(|| (0..run.lanes.len()).try_for_each(|lane| Worker::new(run, lane).start()));
    if let Err(lane) = started {
        usage_error(format_args!("no thread for lane {}: too many --threads", lane.lane));
    }
    if let Some(limit) = limit {
        limits::limit_whole_run(limit);
    }
    let seen = monitor::watch(run);
    let report = settle(run, before, seen);
    report.print();
    if report.is_good() { ExitCode::SUCCESS } else { ExitCode::from(failure::STATUS as u8) }
}

/// After the lanes: looks at what is left, frees it, and closes the books.
fn settle(run: &'static Run, before: Entry, seen: monitor::Seen) -> Report<'static> {
    let mut workers = run.take_workers();
    let full_most = workers.iter().flat_map(Worker::held).map(Block::most_bytes).sum::<usize>()
        + run.mailboxes.iter().map(exchange::Mailbox::most_bytes).sum::<usize>();
    let full = Entry::now(run);
    for worker in &mut workers {
        if let Err(damage) = worker.clear() {
            failure::report(&damage, worker.witness());
        }
    }
    let freed = Entry::now(run);
    let sums = Sums::of(&workers);
    drop(workers);
    freestone::purge();
    limits::expect_recovery();
    let fail = |damage: Damage| -> ! {
        failure::report(
            &damage,
            Witness { lane: 0, operation: run.operations(), doing: "recovery, after the run" },
        )
    };
    recovery::every_size().unwrap_or_else(|damage| fail(damage));
    limits::unlimit();
    let after = Entry::now(run);
    Report::new(run, sums, seen, Books { before, full, full_most, freed, after })
}
