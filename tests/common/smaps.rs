//! What the kernel says of one mapping, from proc_pid_smaps(5).

use std::fs;

/// The mapping that holds an address.
#[derive(Debug)]
pub(crate) struct Mapping {
    flags: Vec<String>,
}

impl Mapping {
    /// The mapping that `pointer` lies in.
    pub(crate) fn of(pointer: *const u8) -> Self {
        let text = fs::read_to_string("/proc/self/smaps").expect("Linux has /proc");
        let mut inside = false;
        for line in text.lines() {
            let range = line.split(' ').next().and_then(|range| range.split_once('-'));
            let number = |text| usize::from_str_radix(text, 16).ok();
            if let Some((Some(start), Some(end))) = range.map(|(start, end)| (number(start), number(end))) {
                inside = (start..end).contains(&pointer.addr());
            }
            if inside && let Some(flags) = line.strip_prefix("VmFlags:") {
                return Self { flags: flags.split_whitespace().map(str::to_owned).collect() };
            }
        }
        panic!("{pointer:p} is in no mapping");
    }

    /// Whether the kernel shows this flag: `hg` huge pages, `nh` none, `lo` locked, `nr` not reserved.
    pub(crate) fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|have| have == flag)
    }
}
