//! Encoding and decoding are inverse.

use freestone_trace::format::{
    self, Call, Decoder, Encoder, Event, Header, Kind, MOST_SIZE, Stage, TimedCall, Trace,
};
use proptest::prelude::*;

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Allocate),
        Just(Kind::Zeroed),
        Just(Kind::Aligned),
        Just(Kind::ZeroedAligned),
        Just(Kind::Resize),
        Just(Kind::Free),
        Just(Kind::SizedFree),
    ]
}

/// Small numbers mostly, as programs have them, and any.
fn numbers() -> impl Strategy<Value = u64> {
    prop_oneof![0..300_u64, any::<u64>()]
}

prop_compose! {
    fn calls()(
        kind in kinds(),
        align in 0..40_u8,
        gap in prop_oneof![Just(1_u64), 1..1_000_000_u64],
        lasts in 1..1000_u64,
        size in prop_oneof![0..5000_u64, 0..=MOST_SIZE],
        id in numbers(),
        old in numbers(),
        thread in 0..4_u32,
        time in 0..1_000_000_u64,
    ) -> (TimedCall, u64) {
        let named = matches!(kind, Kind::Aligned | Kind::ZeroedAligned);
        let call = Call {
            kind,
            align_log2: if named { align } else { 0 },
            sequence: gap,
            done: if kind == Kind::Resize { lasts } else { 0 },
            size: if kind.frees() { 0 } else { size },
            id,
            old: if kind == Kind::Resize { old } else { id },
        };
        (TimedCall { call, thread, time }, gap)
    }
}

/// Calls whose sequence numbers and times rise.
fn in_order(calls: Vec<(TimedCall, u64)>) -> Vec<TimedCall> {
    let (mut sequence, mut time) = (0, 0);
    calls
        .into_iter()
        .map(|(mut timed, gap)| {
            sequence += gap;
            time += timed.time;
            timed.time = time;
            timed.call.done += sequence;
            timed.call.sequence = sequence;
            sequence = timed.call.done;
            timed
        })
        .collect()
}

proptest! {
    #[test]
    fn a_file_is_read_as_it_was_written(calls in prop::collection::vec(calls(), 0..400), name in "[a-z0-9+.-]{0,32}") {
        let header = Header { stage: Stage::Packed, process: 1, parent: 2, name, foreign: 3, missed: 4 };
        let trace = Trace { header, calls: in_order(calls) };
        let mut file = Vec::new();
        format::write(&trace, &mut file).expect("a vector takes everything");
        prop_assert_eq!(format::read(&file), Ok(trace));
    }

    #[test]
    fn events_are_decoded_as_they_were_encoded(calls in prop::collection::vec(calls(), 1..200)) {
        let calls = in_order(calls);
        let mut events = Vec::new();
        let mut encoder = Encoder::thread(&mut events, 9, 0, 5);
        let mut expected = vec![Event::Thread(9)];
        for timed in &calls {
            encoder.time(&mut events, timed.time);
            encoder.call(&mut events, &timed.call);
            expected.extend([Event::Time(timed.time), Event::Call(timed.call)]);
        }
        let mut decoder = Decoder::new(&events);
        for event in expected {
            prop_assert_eq!(decoder.event(), Ok(Some(event)));
        }
        prop_assert_eq!(decoder.event(), Ok(None));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut file = Header { stage: Stage::Packed, process: 0, parent: 0, name: String::new(), foreign: 0, missed: 0 }.to_bytes().to_vec();
        file.extend(bytes);
        prop_assert!(format::read(&file).is_err());
    }
}
