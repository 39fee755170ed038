//! A Rust program with the recorder in it is recorded with layouts.
#![cfg(target_os = "linux")]

mod common;

use std::path::Path;

use common::{count, text, tool, traces};
use freestone_trace::format::Kind;

#[test]
fn layouts_are_recorded() {
    let folder = tempfile::tempdir().expect("a folder");
    let tools = Path::new(env!("CARGO_BIN_EXE_freestone-trace")).parent().expect("it lies in a folder");
    let program = tools.join("examples/recorded");
    let output = folder.path().join("out.trace");
    let answer = tool(&[&"record", &"--built-in", &"--output", &output, &"--", &program]);
    assert!(answer.status.success(), "{}", text(&answer.stderr));
    let steps = &traces(folder.path())[0];
    let aligned = steps.steps.iter().filter(|step| step.align_log2 == 6);
    let kinds: Vec<(Kind, u64)> = aligned.map(|step| (step.kind, step.size)).collect();
    assert_eq!(kinds, [(Kind::Aligned, 40_001), (Kind::ZeroedAligned, 40_001)]);
    assert_eq!(count(steps, Kind::Resize, 80_001), 1);
    assert_eq!(count(steps, Kind::SizedFree, 80_001), 1);
    assert_eq!(count(steps, Kind::Aligned, 40_003), 50);
    assert_eq!(count(steps, Kind::SizedFree, 40_003), 50);
    assert_eq!(steps.threads, 2);
    assert_eq!((steps.foreign, steps.missed), (0, 0));
}
