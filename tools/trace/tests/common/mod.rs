//! The program under test, and programs for it to record.
#![allow(dead_code, reason = "each test file uses a part")]

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use freestone_trace::format::{self, Call, Header, Kind, Stage, TimedCall, Trace};
use freestone_trace::steps::Steps;

/// Runs `freestone-trace`.
pub(crate) fn tool(arguments: &[&dyn AsRef<OsStr>]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_freestone-trace"));
    command.args(arguments.iter().map(|argument| argument.as_ref()));
    command.output().expect("the tool runs")
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A C program of `tests/programs`, compiled by a compiler that does not know what malloc does.
pub(crate) fn compile(source: &str, folder: &Path) -> PathBuf {
    let program = folder.join(source.trim_end_matches(".c"));
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs");
    let mut compiler = Command::new("cc");
    compiler.args(["-std=gnu17", "-O1", "-fno-builtin", "-Wall", "-Wextra", "-pthread", "-o"]);
    let output = compiler.arg(&program).arg(sources.join(source)).output().expect("cc runs");
    assert!(output.status.success(), "{}", text(&output.stderr));
    program
}

/// Every trace in `folder`, resolved.
pub(crate) fn traces(folder: &Path) -> Vec<Steps> {
    let files =
        fs::read_dir(folder).expect("the folder is there").map(|entry| entry.expect("an entry").path());
    let mut traces: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "trace")).collect();
    traces.sort();
    let read =
        |path: &PathBuf| format::read(&fs::read(path).expect("it is readable")).expect("it is a trace");
    traces.iter().map(|path| Steps::of(&read(path))).collect()
}

/// How many steps of one kind and size there are.
pub(crate) fn count(steps: &Steps, kind: Kind, size: u64) -> usize {
    steps.steps.iter().filter(|step| step.kind == kind && step.size == size).count()
}

/// A trace of one thread that allocates so many blocks and frees every second one.
pub(crate) fn sample(blocks: u64) -> Trace {
    let mut sequence = 0;
    let mut calls = Vec::new();
    let mut push = |kind, size, id| {
        sequence += 1;
        let call = Call { kind, align_log2: 0, sequence, done: sequence, size, id, old: id };
        calls.push(TimedCall { call, thread: 0, time: sequence * 100 });
    };
    for id in 0..blocks {
        push(Kind::Allocate, 16 + id % 100, id);
        if id % 2 == 1 {
            push(Kind::Free, 0, id);
        }
    }
    let header = Header {
        stage: Stage::Packed,
        process: 7,
        parent: 6,
        name: "sample".to_owned(),
        foreign: 0,
        missed: 0,
    };
    Trace { header, calls }
}

/// The same as a packed file.
pub(crate) fn packed(trace: &Trace) -> Vec<u8> {
    let mut file = Vec::new();
    format::write(trace, &mut file).expect("a vector takes everything");
    file
}
