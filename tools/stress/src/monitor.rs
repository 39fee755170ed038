//! While the lanes run: how far they are, how much is resident, whether one is stuck, and when
//! the time is up.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

use crate::failure::{self, Text};
use crate::options::Length;
use crate::process;
use crate::run::Run;

/// From one look to the next.
const TICK: Duration = Duration::from_millis(200);
/// A lane without an operation done for so long hangs. Longer than a forked child may take.
const STUCK: Duration = Duration::from_secs(180);
/// Parts of the run of which each has a resident figure of its own: is it flat?
pub(crate) const PARTS: usize = 10;

/// What was seen.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) elapsed: Duration,
    pub(crate) resident_peak: usize,
    /// Greatest resident bytes in each tenth of a run with a length in time.
    pub(crate) resident_by_part: Vec<usize>,
}

/// Watches until every lane has ended.
pub(crate) fn watch(run: &'static Run) -> Seen {
    let start = Instant::now();
    let bar = progress_bar(run);
    let mut pulse = Pulse::new(run);
    let mut seen = Seen { elapsed: Duration::ZERO, resident_peak: 0, resident_by_part: Vec::new() };
    loop {
        let (_, resident) = process::quick();
        seen.resident_peak = seen.resident_peak.max(resident);
        let elapsed = start.elapsed();
        if let Length::Time(length) = run.options.length {
            note_part(&mut seen.resident_by_part, resident, elapsed.as_secs_f64() / length.as_secs_f64());
            if elapsed >= length {
                run.stop();
            }
        }
        show(&bar, run, elapsed, resident);
        if run.all_ended(TICK) {
            break;
        }
        pulse.feel(run);
    }
    seen.elapsed = start.elapsed();
    seen.resident_peak = seen.resident_peak.max(process::resident_peak());
    bar.finish_and_clear();
    seen
}

fn note_part(parts: &mut Vec<usize>, resident: usize, done: f64) {
    let part = (done * PARTS as f64) as usize;
    if part >= PARTS {
        return;
    }
    parts.resize(parts.len().max(part + 1), 0);
    if let Some(most) = parts.get_mut(part) {
        *most = resident.max(*most);
    }
}

fn progress_bar(run: &Run) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let length = match run.options.length {
        Length::Time(time) => time.as_millis() as u64,
        Length::Operations(operations) => operations * run.lanes.len() as u64,
    };
    let style = ProgressStyle::with_template("{elapsed_precise} [{wide_bar}] {percent}% {msg}");
    ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn show(bar: &ProgressBar, run: &Run, elapsed: Duration, resident: usize) {
    if bar.is_hidden() {
        return;
    }
    let operations = run.operations();
    bar.set_position(match run.options.length {
        Length::Time(_) => elapsed.as_millis() as u64,
        Length::Operations(_) => operations,
    });
    let rate = operations as f64 / elapsed.as_secs_f64().max(0.001);
    bar.set_message(format!(
        "{} operations, {}/s, live {}, resident {}",
        HumanCount(operations),
        HumanCount(rate as u64),
        HumanBytes(run.live_bytes() as u64),
        HumanBytes(resident as u64),
    ));
}

/// Each lane's last operation, and when it was seen to change.
struct Pulse(Vec<(u64, Instant)>);

impl Pulse {
    fn new(run: &Run) -> Self {
        Self(run.lanes.iter().map(|_| (u64::MAX, Instant::now())).collect())
    }

    /// Ends the process if a lane stands still.
    fn feel(&mut self, run: &Run) {
        for (lane, (last, since)) in self.0.iter_mut().enumerate() {
            let now = run.lanes[lane].operation.load(std::sync::atomic::Ordering::Relaxed);
            if now != *last {
                (*last, *since) = (now, Instant::now());
            } else if since.elapsed() > STUCK && run.goes_on(now) {
                stuck(run, lane, now);
            }
        }
    }
}

fn stuck(run: &Run, lane: usize, operation: u64) -> ! {
    let mut text = Text::new();
    // Writing into `Text` never fails.
    let _ = write!(text, "\nfreestone-stress: hang\n  what:      no operation for {} s\n", STUCK.as_secs());
    let _ = write!(text, "  where:     lane {lane}\n  seed:      {}\n", run.options.seed);
    let _ = writeln!(text, "  operation: {operation} of lane {lane}");
    let _ = failure::again(&mut text, run, operation);
    text.send(libc::STDERR_FILENO);
    // SAFETY: no preconditions.
    unsafe { libc::_exit(failure::STATUS) }
}
