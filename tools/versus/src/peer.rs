//! The `main` of every peer binary: read the task, run it, print the sample.

use std::process::ExitCode;
use std::time::Duration;

use crate::bench::{Bench, meter};
use crate::task::{Sample, Task};
use crate::workloads::{self, Judged};

/// How long a process idles before its memory is read again.
const IDLE: Duration = Duration::from_secs(1);

/// Runs the one task named in the arguments. `purge` is the allocator's own way
/// of giving memory back when asked.
pub fn main(purge: fn()) -> ExitCode {
    let Some(order) = std::env::args().nth(1) else {
        eprintln!("a peer is started by freestone-versus: its one argument is a task in JSON");
        return ExitCode::from(2);
    };
    let task: Task = match serde_json::from_str(&order) {
        Ok(task) => task,
        Err(error) => {
            eprintln!("not a task: {error}");
            return ExitCode::from(2);
        }
    };
    // The order's own text must not count as memory still held.
    drop(order);
    match perform(task, purge) {
        Ok(sample) => {
            println!("{sample}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn perform(task: Task, purge: fn()) -> Result<String, String> {
    let recording = task.recording.clone();
    let workload = match &recording {
        Some(recording) => workloads::replay_of(&task.workload, recording)?,
        None => workloads::find(&task.workload)
            .ok_or_else(|| format!("no workload is called {}", task.workload))?,
    };
    let judged = workload.judged;
    let mut bench = Bench::new(task);
    (workload.body)(&mut bench);
    drop(workload);
    let mut sample: Sample = bench.into_sample()?;
    sample.after_kib = meter::resident_kib();
    // Read now, so that what freeing takes is in it.
    sample.peak_kib = meter::peak_kib();
    if judged == Judged::Memory {
        std::thread::sleep(IDLE);
        sample.idle_kib = Some(meter::resident_kib());
    }
    purge();
    sample.purged_kib = meter::resident_kib();
    if recording.is_some() {
        sample.count_growth();
    }
    serde_json::to_string(&sample).map_err(|error| error.to_string())
}
