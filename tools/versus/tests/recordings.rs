//! Recordings are replayed as workloads, and bad ones are refused.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use freestone_trace::format;
use freestone_trace::script;
use freestone_trace::steps::Steps;
use freestone_versus::bench::Bench;
use freestone_versus::task::{Recording, Task};
use freestone_versus::workloads;

/// The script of a trace of the corpus, in `folder`.
fn script_of(name: &str, folder: &Path) -> PathBuf {
    let trace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../trace/corpus").join(name);
    let file = fs::read(trace).expect("the corpus has it");
    let path = folder.join("script");
    let steps = Steps::of(&format::read(&file).expect("it is a trace"));
    fs::write(&path, script::compile(&steps)).expect("it is written");
    path
}

#[test]
fn a_recording_measures_its_calls() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = script_of("git.trace", folder.path());
    for touch in ["none", "first", "all"] {
        let recording = Recording { script: script.clone(), touch: touch.to_owned() };
        let workload = workloads::replay_of("trace/git", &recording).expect("it is a script");
        let mut bench = Bench::new(Task {
            workload: "trace/git".to_owned(),
            seed: 0,
            threads: 1,
            rounds: 1,
            second_ms: 1,
            recording: Some(recording),
        });
        (workload.body)(&mut bench);
        let sample = bench.into_sample().expect("it measures something");
        assert!(sample.operations > 100_000 && sample.wall_ns > 0);
        assert!(sample.live_kib.is_some_and(|live| live > 1000), "{touch}: {:?}", sample.live_kib);
        assert!(sample.average_kib.is_some());
    }
}

#[test]
fn another_way_to_touch_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let recording = Recording { script: script_of("git.trace", folder.path()), touch: "some".to_owned() };
    assert!(workloads::replay_of("trace/git", &recording).is_err());
}

#[test]
fn a_bad_file_ends_with_status_2() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bad.trace");
    fs::write(&path, "no trace").expect("it is written");
    let mut versus = Command::new(env!("CARGO_BIN_EXE_freestone-versus"));
    let answer = versus.arg("--trace").arg(&path).output().expect("it runs");
    let said = String::from_utf8_lossy(&answer.stderr);
    assert_eq!(answer.status.code(), Some(2), "{said}");
    assert!(said.contains("bad.trace: not a trace"), "{said}");
}
