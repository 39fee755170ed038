//! The profile in pprof's format: a gzipped protocol buffer.
//!
//! The messages are those of `profile.proto` in <https://github.com/google/pprof>, as far as a
//! heap's profile has need of them.

use std::collections::HashMap;
use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;

use super::symbols::{Frame, Symbols};
use crate::heap::sampling::records::Snapshot;

#[derive(Clone, PartialEq, Message)]
struct Profile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    mapping: Vec<Mapping>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    time_nanos: i64,
    #[prost(message, optional, tag = "11")]
    period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    period: i64,
    #[prost(int64, tag = "14")]
    default_sample_type: i64,
}

#[derive(Clone, PartialEq, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    r#type: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    label: Vec<Label>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(int64, tag = "1")]
    key: i64,
    #[prost(int64, tag = "2")]
    str: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Mapping {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "5")]
    filename: i64,
    #[prost(bool, tag = "7")]
    has_functions: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "2")]
    mapping_id: u64,
    #[prost(uint64, tag = "3")]
    address: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, PartialEq, Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
    #[prost(int64, tag = "2")]
    line: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
    #[prost(int64, tag = "3")]
    system_name: i64,
    #[prost(int64, tag = "4")]
    filename: i64,
}

/// A profile in the making: each string, function and location once.
#[derive(Default)]
struct Builder {
    profile: Profile,
    strings: HashMap<String, i64>,
    functions: HashMap<(String, String), u64>,
    locations: HashMap<usize, u64>,
}

impl Builder {
    fn string(&mut self, text: &str) -> i64 {
        if let Some(number) = self.strings.get(text) {
            return *number;
        }
        let number = self.profile.string_table.len() as i64;
        self.profile.string_table.push(text.to_owned());
        self.strings.insert(text.to_owned(), number);
        number
    }

    /// The label of samples in `group`; none for an empty name.
    fn labels(&mut self, group: &str) -> Vec<Label> {
        if group.is_empty() {
            return Vec::new();
        }
        vec![Label { key: self.string("group"), str: self.string(group) }]
    }

    fn value_type(&mut self, kind: &str, unit: &str) -> ValueType {
        ValueType { r#type: self.string(kind), unit: self.string(unit) }
    }

    fn function(&mut self, frame: &Frame) -> u64 {
        let key = (frame.function.clone(), frame.file.clone());
        if let Some(id) = self.functions.get(&key) {
            return *id;
        }
        let (name, filename) = (self.string(&frame.function), self.string(&frame.file));
        let id = self.profile.function.len().wrapping_add(1) as u64;
        self.profile.function.push(Function { id, name, system_name: name, filename });
        self.functions.insert(key, id);
        id
    }

    fn location(&mut self, address: usize, frames: &[Frame]) -> u64 {
        if let Some(id) = self.locations.get(&address) {
            return *id;
        }
        let line = frames
            .iter()
            .map(|frame| Line { function_id: self.function(frame), line: frame.line.into() })
            .collect();
        let id = self.profile.location.len().wrapping_add(1) as u64;
        self.profile.location.push(Location { id, mapping_id: 1, address: address as u64, line });
        self.locations.insert(address, id);
        id
    }
}

pub(super) fn write(snapshot: &Snapshot, to: impl Write) -> io::Result<()> {
    let mut builder = Builder::default();
    let mut symbols = Symbols::default();
    // The first string is the empty one.
    let _ = builder.string("");
    let types = [
        ("alloc_objects", "count"),
        ("alloc_space", "bytes"),
        ("inuse_objects", "count"),
        ("inuse_space", "bytes"),
    ];
    builder.profile.sample_type =
        types.into_iter().map(|(kind, unit)| builder.value_type(kind, unit)).collect();
    let program = std::env::current_exe().map_or_else(|_| String::new(), |path| path.display().to_string());
    let filename = builder.string(&program);
    builder.profile.mapping = vec![Mapping { id: 1, filename, has_functions: true }];
    for (frames, group, sums) in snapshot.stacks() {
        let own = symbols.own_frames(frames);
        let location_id =
            frames.iter().skip(own).map(|address| builder.location(*address, symbols.at(*address))).collect();
        let count = |thousandths: u64| (thousandths.wrapping_add(500) / 1000) as i64;
        let value = vec![
            count(sums.all_blocks),
            sums.all_bytes as i64,
            count(sums.live_blocks),
            sums.live_bytes as i64,
        ];
        let label = builder.labels(group);
        builder.profile.sample.push(Sample { location_id, value, label });
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    builder.profile.time_nanos = now.as_nanos() as i64;
    builder.profile.period_type = Some(builder.value_type("space", "bytes"));
    builder.profile.period = snapshot.interval_bytes as i64;
    builder.profile.default_sample_type = builder.string("inuse_space");
    let mut to = GzEncoder::new(to, Compression::default());
    to.write_all(&builder.profile.encode_to_vec())?;
    to.finish()?.flush()
}
