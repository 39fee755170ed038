//! The fuzz target of the reader of traces: any bytes are read or refused, as a file and as the
//! events of one. What is read can be written and read again, resolved, summed up and compiled.
#![no_main]

use freestone_trace::format::{self, Codec, Header, Stage, Trace, block_header_bytes};
use freestone_trace::script;
use freestone_trace::steps::Steps;
use freestone_trace::summary::Summary;
use libfuzzer_sys::fuzz_target;

/// A recording with those events.
fn with_events(events: &[u8]) -> Vec<u8> {
    let header = Header {
        stage: Stage::Recording,
        process: 1,
        parent: 1,
        name: "fuzzed".into(),
        foreign: 0,
        missed: 0,
    };
    let length = u32::try_from(events.len()).expect("the input is short");
    let mut file = header.to_bytes().to_vec();
    file.extend_from_slice(&block_header_bytes(Codec::Stored, length, length));
    file.extend_from_slice(events);
    file
}

fn use_it(trace: &Trace) {
    let steps = Steps::of(trace);
    let _ = Summary::of(&steps);
    let _ = script::compile(&steps);
    let mut packed = Vec::new();
    format::write(&steps.to_trace(), &mut packed).expect("a vector takes everything");
    let again = Steps::of(&format::read(&packed).expect("what was written is read"));
    assert_eq!(steps.steps.len(), again.steps.len(), "packing keeps every step");
    assert!(steps.steps.iter().zip(&again.steps).all(|(one, other)| {
        (one.kind, one.object, one.size, one.thread) == (other.kind, other.object, other.size, other.thread)
    }));
}

fuzz_target!(|bytes: &[u8]| {
    for file in [bytes, &with_events(bytes)] {
        if let Ok(trace) = format::read(file) {
            use_it(&trace);
        }
    }
});
