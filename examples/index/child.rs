//! One side of the comparison: builds the index from the plan on stdin, frees it, and reports on
//! stdout.

use std::fs;
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::num::NonZero;
use std::thread;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use crate::Failure;
use crate::inverted::Index;
use crate::parent::progress_bar;
use crate::plan::{self, Entry};
use crate::report::{Cost, Findings, Place, Report};
use crate::switch::Side;

pub(crate) fn run(side: Side, find: Option<&str>) -> Result<(), Failure> {
    let plan = plan::read_plan(io::stdin().lock()).map_err(Failure::during("reading the plan"))?;
    let bytes = plan.iter().map(|entry| entry.bytes).sum();
    let progress = progress_bar(side.name(), bytes);

    let report =
        index_and_free(side, &plan, find, &progress).map_err(Failure::during("building the index"))?;
    progress.finish_and_clear();

    let mut stdout = io::stdout().lock();
    serde_json::to_writer(&mut stdout, &report)
        .map_err(io::Error::from)
        .and_then(|()| stdout.flush())
        .map_err(Failure::during("writing the report"))
}

fn index_and_free(
    side: Side,
    plan: &[Entry],
    find: Option<&str>,
    progress: &ProgressBar,
) -> io::Result<Report> {
    let workers = thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);

    let usage_before = Usage::now()?;
    let start = Instant::now();
    let index = Index::build(plan, workers, progress)?;
    let building = start.elapsed();
    let usage_built = Usage::now()?;

    // Taken out of the clocks: it's the comparison's work, not the indexer's.
    let findings = findings(&index, plan, find);

    let usage_checked = Usage::now()?;
    let start = Instant::now();
    drop(index);
    let freeing = start.elapsed();
    let usage_freed = Usage::now()?;
    let status = process_status();

    let spent = |from: &Usage, to: &Usage| Usage {
        cpu: to.cpu.saturating_sub(from.cpu),
        page_faults: to.page_faults.saturating_sub(from.page_faults),
    };
    let built = spent(&usage_before, &usage_built);
    let freed = spent(&usage_checked, &usage_freed);
    Ok(Report {
        side,
        findings,
        cost: Cost {
            building,
            freeing,
            cpu: built.cpu + freed.cpu,
            page_faults: built.page_faults + freed.page_faults,
            peak_bytes: status_bytes(&status, "VmHWM:"),
            left_bytes: status_bytes(&status, "VmRSS:"),
        },
    })
}

fn findings(index: &Index, plan: &[Entry], find: Option<&str>) -> Findings {
    let places = find
        .map_or(&[][..], |word| index.find(word))
        .iter()
        .filter_map(|posting| {
            let entry = plan.get(posting.file as usize)?;
            Some(Place {
                file: entry.path.to_string_lossy().into_owned(),
                positions: posting.positions.clone(),
            })
        })
        .collect();
    Findings {
        files: index.tally.files,
        lost_files: index.tally.lost_files,
        bytes: index.tally.bytes,
        words: index.tally.words,
        distinct_words: index.distinct_words(),
        digest: index.digest(),
        places,
    }
}

/// What the process has used since its start.
struct Usage {
    cpu: Duration,
    page_faults: u64,
}

impl Usage {
    fn now() -> io::Result<Self> {
        let mut usage = MaybeUninit::<libc::rusage>::zeroed();
        // SAFETY: the pointer is to a whole `rusage`, which is all that the call writes.
        if unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: integers only, zeroed above, and filled by the call.
        let usage = unsafe { usage.assume_init() };
        Ok(Self {
            cpu: duration(usage.ru_utime) + duration(usage.ru_stime),
            page_faults: u64::try_from(usage.ru_minflt).unwrap_or(0),
        })
    }
}

/// The kernel's seconds and microseconds, which are never negative.
fn duration(time: libc::timeval) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let microseconds = u64::try_from(time.tv_usec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(microseconds)
}

/// The kernel's own words about this process; empty where it has none. Read once, so that the
/// figures fit together.
fn process_status() -> String {
    fs::read_to_string("/proc/self/status").unwrap_or_default()
}

/// A line of [`process_status`] about memory, which counts in KiB (proc_pid_status(5)).
fn status_bytes(status: &str, label: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(label))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib << 10)
}
