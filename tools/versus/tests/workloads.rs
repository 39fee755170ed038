//! Every workload measures something, on one thread and on an odd number of them.

use freestone_versus::bench::Bench;
use freestone_versus::task::Task;
use freestone_versus::workloads::{self, Crew, Length, Workload};

fn measure(workload: &Workload, threads: usize) {
    let mut bench = Bench::new(Task {
        workload: workload.name.clone(),
        seed: 42,
        threads,
        rounds: 3,
        second_ms: 1,
        recording: None,
    });
    (workload.body)(&mut bench);
    let sample = bench.into_sample().expect("it measures something");
    assert!(sample.operations > 0, "{} did nothing", workload.name);
    assert!(sample.wall_ns > 0, "{} took no time", workload.name);
}

#[test]
fn every_workload_measures_something() {
    // Those of a fixed size take long without optimisation.
    let mut measured = [0, 0];
    for workload in workloads::all().iter().filter(|workload| workload.length == Length::Calibrated) {
        measure(workload, 1);
        measured[0] += 1;
        if workload.crew == Crew::Each {
            measure(workload, 3);
            measured[1] += 1;
        }
    }
    assert!(measured[0] > 5 && measured[1] > 2, "{measured:?}");
}

#[test]
fn no_two_workloads_have_one_name() {
    let mut names: Vec<String> = workloads::all().into_iter().map(|workload| workload.name).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
}
