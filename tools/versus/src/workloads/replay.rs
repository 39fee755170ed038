//! A recorded program, replayed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use freestone_trace::script::{Script, Stage, Totals, Touch};

use super::{Judged, Workload};
use crate::bench::{Bench, meter};
use crate::task::Recording;

/// How often resident memory is read for the average. Each reading takes a hundredth of that.
const BETWEEN_READINGS: Duration = Duration::from_millis(1);

/// The workload that replays `recording`.
///
/// # Errors
/// There is no such script, or no such way to touch blocks.
pub fn replay_of(name: &str, recording: &Recording) -> Result<Workload, String> {
    let touch: Touch = recording.touch.parse()?;
    let script = Script::open(&recording.script).map_err(|error| format!("the script: {error}"))?;
    Ok(Workload::new(name, "a recorded program", move |bench| replay(bench, &script, touch))
        .judged_by(Judged::Recording)
        .fixed())
}

/// Once, in a process that has done nothing else: what a program pays, page faults included.
fn replay(bench: &mut Bench, script: &Script, touch: Touch) {
    let mut stage = Stage::new(script, touch).expect("there is memory for the replay's own tables");
    let start_kib = bench.baseline();
    let average_kib = average_kib(|| {
        let totals = bench.once(script.calls(), || stage.replay());
        check(script, totals);
    });
    bench.averaged(average_kib.saturating_sub(start_kib));
    bench.held(script.peak_bytes() as usize);
}

/// A replay that holds other bytes than the recording measures nothing.
fn check(script: &Script, totals: Totals) {
    assert_eq!(totals.end_bytes, script.end_bytes(), "bytes live at the end");
    if let Some(peak) = totals.peak_bytes {
        assert_eq!(peak, script.peak_bytes(), "bytes live at the peak");
    }
}

/// What is resident on average while `work` is done.
fn average_kib(work: impl FnOnce()) -> u64 {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut sum, mut readings) = (0, 0);
            while readings == 0 || !done.load(Ordering::Acquire) {
                thread::sleep(BETWEEN_READINGS);
                sum += meter::resident_kib();
                readings += 1;
            }
            sum / readings
        });
        work();
        done.store(true, Ordering::Release);
        reader.join().expect("reading a file does not panic")
    })
}
