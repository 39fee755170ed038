//! What processes do is recorded as it was: threads, forks, execs, signals, and ends of any kind.
//! The scenarios are in `programs/processes.c`.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod common;

use common::{compile, count, text, tool, traces};
use freestone_trace::format::Kind;
use freestone_trace::steps::Steps;
use freestone_trace::summary::Summary;

/// The traces of a scenario's processes, that with the most calls first.
fn record(scenario: &str, status: i32) -> Vec<Steps> {
    let folder = tempfile::tempdir().expect("a folder");
    let program = compile("processes.c", folder.path());
    let output = folder.path().join("out.trace");
    let answer = tool(&[&"record", &"--all", &"--output", &output, &"--", &program, &scenario]);
    assert_eq!(answer.status.code(), Some(status), "{}", text(&answer.stderr));
    let mut traces = traces(folder.path());
    traces.sort_by_key(|steps| usize::MAX - steps.steps.len());
    traces
}

/// The one trace of a scenario without children.
fn record_one(scenario: &str, status: i32) -> Steps {
    let mut traces = record(scenario, status);
    assert_eq!(traces.len(), 1);
    let steps = traces.remove(0);
    assert_eq!(steps.header.name, "processes");
    assert_eq!((steps.foreign, steps.missed), (0, 0));
    steps
}

#[test]
fn a_free_is_recorded_in_the_thread_that_frees() {
    let steps = record_one("threads", 0);
    assert_eq!(steps.threads, 2);
    assert_eq!(count(&steps, Kind::Allocate, 40001), 100);
    assert_eq!(count(&steps, Kind::Free, 40001), 100);
    assert!(Summary::of(&steps).frees_elsewhere >= 100);
}

#[test]
fn parent_and_child_have_a_trace_each() {
    let traces = record("forks", 0);
    let [parent, child] = &traces[..] else { panic!("{} traces", traces.len()) };
    let (parent, child) =
        if child.header.parent == parent.header.process { (parent, child) } else { (child, parent) };
    assert_eq!(child.header.parent, parent.header.process);
    assert_eq!(count(parent, Kind::Allocate, 40001), 10);
    assert_eq!(count(parent, Kind::Free, 40001), 10);
    assert_eq!(count(parent, Kind::Allocate, 40003), 0);
    assert_eq!(count(child, Kind::Allocate, 40003), 7);
    // The blocks that the child has inherited.
    assert_eq!((child.foreign, parent.foreign), (10, 0));
}

#[test]
fn a_program_that_another_becomes_has_a_trace_of_its_own() {
    let traces = record("execs", 0);
    assert_eq!(traces.len(), 2);
    assert_eq!(traces[0].header.process, traces[1].header.process);
    let made = |size| traces.iter().map(|steps| count(steps, Kind::Allocate, size)).collect::<Vec<_>>();
    let (mut before, mut after) = (made(40001), made(40003));
    before.sort_unstable();
    after.sort_unstable();
    assert_eq!((before, after), (vec![0, 5], vec![0, 6]));
}

#[test]
fn a_killed_program_leaves_every_call() {
    let steps = record_one("killed", 128 + libc::SIGKILL);
    assert_eq!(count(&steps, Kind::Allocate, 40001), 9);
}

#[test]
fn a_program_may_exit_while_threads_run() {
    let steps = record_one("exits_beside_threads", 0);
    assert_eq!(steps.threads, 5);
    let made = count(&steps, Kind::Allocate, 40001);
    let freed = count(&steps, Kind::Free, 40001);
    assert!(made > 100 && (made - 4..=made).contains(&freed), "{made} made, {freed} freed");
}

#[test]
fn signals_take_no_call_from_the_trace() {
    let steps = record_one("interrupted", 0);
    assert_eq!(count(&steps, Kind::Allocate, 40001), 300_000);
    assert_eq!(count(&steps, Kind::Free, 40001), 300_000);
}

#[test]
fn threads_that_come_and_go_are_told_apart() {
    let steps = record_one("short_threads", 0);
    assert_eq!(steps.threads, 501);
    assert_eq!(count(&steps, Kind::Free, 40001), 500);
}

#[test]
fn every_call_of_c_is_recorded() {
    let steps = record_one("every_call", 0);
    assert_eq!(count(&steps, Kind::Zeroed, 3 * 40001), 1);
    assert_eq!(count(&steps, Kind::Resize, 400_001), 1);
    assert_eq!(count(&steps, Kind::Free, 400_001), 1);
    let aligned = |size| {
        let found = steps.steps.iter().find(|step| step.kind == Kind::Aligned && step.size == size);
        found.map(|step| step.align_log2)
    };
    assert_eq!((aligned(40064), aligned(40005)), (Some(6), Some(12)));
    assert_eq!(count(&steps, Kind::Allocate, 3 * 40007), 1);
}

#[test]
fn the_program_is_told_nothing_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let answer = tool(&[
        &"record",
        &"--output",
        &folder.path().join("out.trace"),
        &"--",
        &"sh",
        &"-c",
        &"echo said; echo complained >&2; exit 5",
    ]);
    assert_eq!(answer.status.code(), Some(5));
    assert_eq!(text(&answer.stdout), "said\n");
    assert!(text(&answer.stderr).starts_with("complained\n"));
}
