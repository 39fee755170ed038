//! A replay holds the bytes that the recorded program held.

mod common;

use std::fs;
use std::path::Path;

use common::sample;
use freestone_trace::format::{self, Kind, Trace};
use freestone_trace::script::{Script, Stage, Touch, compile};
use freestone_trace::steps::Steps;
use freestone_trace::summary::Summary;

fn check(trace: &Trace, touch: Touch, replays: usize) {
    let steps = Steps::of(trace);
    let summary = Summary::of(&steps);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("script");
    fs::write(&path, compile(&steps)).expect("it is written");
    let script = Script::open(&path).expect("it is a script");
    assert_eq!((script.end_bytes(), script.peak_bytes()), (summary.end_bytes, summary.peak_bytes));
    let mut stage = Stage::new(&script, touch).expect("there is memory");
    // A second finds what the first has left: nothing.
    for _ in 0..replays {
        let totals = stage.replay();
        assert_eq!(totals.end_bytes, summary.end_bytes, "{}", steps.header.name);
        if let Some(peak) = totals.peak_bytes {
            assert_eq!(peak, summary.peak_bytes, "{}", steps.header.name);
        }
    }
}

#[test]
fn the_corpus_holds_what_the_programs_held() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut checked = 0;
    for entry in fs::read_dir(folder).expect("the corpus is there") {
        let file = fs::read(entry.expect("an entry").path()).expect("it is readable");
        check(&format::read(&file).expect("it is a trace"), Touch::None, 1);
        checked += 1;
    }
    assert!(checked >= 10, "{checked} traces");
}

#[test]
fn every_way_to_touch_holds_the_same() {
    for touch in [Touch::None, Touch::First, Touch::All] {
        check(&sample(2000), touch, 2);
    }
}

/// Every block is made by one thread, changed by another and freed by a third.
#[test]
fn blocks_may_wander() {
    let mut trace = sample(0);
    let mut sequence = 0;
    for id in 0..5000_u64 {
        for (kind, thread) in
            [(Kind::Allocate, id % 3), (Kind::Resize, (id + 1) % 3), (Kind::Free, (id + 2) % 3)]
        {
            sequence += 2;
            let (mut timed, size) = (sample(1).calls[0], 1 + id % 700);
            timed.thread = thread as u32;
            timed.call.kind = kind;
            timed.call.sequence = sequence;
            timed.call.done = sequence + u64::from(kind == Kind::Resize);
            timed.call.size = if kind.frees() { 0 } else { size };
            (timed.call.id, timed.call.old) = (id, id);
            trace.calls.push(timed);
        }
    }
    check(&trace, Touch::All, 2);
}

#[test]
fn a_script_is_no_trace_and_a_trace_no_script() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("file");
    fs::write(&path, common::packed(&sample(10))).expect("it is written");
    assert!(Script::open(&path).is_err());
    assert!(format::read(&compile(&Steps::of(&sample(10)))).is_err());
}
