//! A profile, read back by pprof's own definition of the format.
#![allow(dead_code, reason = "each test file is a program of its own and uses a part of this")]

use std::collections::HashMap;
use std::io::Read;

use flate2::read::GzDecoder;
use freestone::profile;
use pprof::protos::{Message, Profile};

/// What a profile says, in bytes.
pub(crate) struct Said {
    /// Live, with the functions on each stack and the name of its group.
    stacks: Vec<(Vec<String>, String, usize)>,
    pub(crate) live: usize,
    pub(crate) all: usize,
}

impl Said {
    /// Live bytes that were allocated by functions whose name contains `function`, or below them.
    pub(crate) fn at(&self, function: &str) -> usize {
        let is_below = |names: &[String]| names.iter().any(|name| name.contains(function));
        self.stacks.iter().filter(|(names, ..)| is_below(names)).map(|(.., bytes)| bytes).sum()
    }

    /// As [`at`](Self::at), of what belongs to the group of that name; to none for an empty one.
    pub(crate) fn in_group(&self, group: &str, function: &str) -> usize {
        let is_below = |names: &[String]| names.iter().any(|name| name.contains(function));
        let is_in_group = |(names, of, _): &&(Vec<String>, String, usize)| of == group && is_below(names);
        self.stacks.iter().filter(is_in_group).map(|(.., bytes)| bytes).sum()
    }
}

/// The profile of this program, as it is now.
pub(crate) fn now() -> Said {
    let mut packed = Vec::new();
    profile::dump(&mut packed).expect("a vector takes everything");
    read_back(&packed)
}

pub(crate) fn read_back(packed: &[u8]) -> Said {
    let mut bytes = Vec::new();
    GzDecoder::new(packed).read_to_end(&mut bytes).expect("it is gzip");
    let profile = Profile::decode(bytes.as_slice()).expect("it is a profile");

    let text = |index: i64| profile.string_table[usize::try_from(index).expect("an index")].as_str();
    let kinds: Vec<&str> = profile.sample_type.iter().map(|kind| text(kind.ty)).collect();
    assert_eq!(kinds, ["alloc_objects", "alloc_space", "inuse_objects", "inuse_space"]);
    let functions: HashMap<u64, &str> =
        profile.function.iter().map(|function| (function.id, text(function.name))).collect();
    let locations: HashMap<u64, Vec<&str>> = profile
        .location
        .iter()
        .map(|location| {
            (location.id, location.line.iter().map(|line| functions[&line.function_id]).collect())
        })
        .collect();
    let mut said = Said { stacks: Vec::new(), live: 0, all: 0 };
    for sample in &profile.sample {
        let value: Vec<usize> =
            sample.value.iter().map(|value| usize::try_from(*value).expect("not negative")).collect();
        let [all_blocks, all_bytes, live_blocks, live_bytes] = value[..] else { panic!("{value:?}") };
        assert!(live_blocks <= all_blocks && live_bytes <= all_bytes);
        said.all += all_bytes;
        said.live += live_bytes;
        let names = sample.location_id.iter().flat_map(|location| locations[location].iter());
        let group = sample.label.iter().find(|label| text(label.key) == "group");
        let group = group.map_or_else(String::new, |label| text(label.str).to_owned());
        said.stacks.push((names.map(|name| (*name).to_owned()).collect(), group, live_bytes));
    }
    said
}
