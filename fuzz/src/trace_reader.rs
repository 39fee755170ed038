//! The fuzz target of the reader of traces: any bytes are read or refused. What is read can be written
//! and read again, resolved, summed up and compiled.
#![no_main]

use freestone_trace::format;
use freestone_trace::script;
use freestone_trace::steps::Steps;
use freestone_trace::summary::Summary;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    let Ok(trace) = format::read(file) else { return };
    let steps = Steps::of(&trace);
    let _ = Summary::of(&steps);
    let _ = script::compile(&steps);
    let mut packed = Vec::new();
    format::write(&steps.to_trace(), &mut packed).expect("a vector takes everything");
    let again = Steps::of(&format::read(&packed).expect("what was written is read"));
    assert_eq!(steps.steps.len(), again.steps.len(), "steps are the same after packing");
    assert!(steps.steps.iter().zip(&again.steps).all(|(one, other)| {
        (one.kind, one.object, one.size, one.thread) == (other.kind, other.object, other.size, other.thread)
    }));
});
