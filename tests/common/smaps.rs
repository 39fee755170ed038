//! What the kernel says of one mapping, from proc_pid_smaps(5).

use std::fs;

/// The mapping that holds an address.
#[derive(Debug)]
pub(crate) struct Mapping {
    /// `r`, `w` and `x` or a dash each, then `p` for private or `s` for shared.
    protection: String,
    flags: Vec<String>,
}

impl Mapping {
    /// The mapping that `pointer` lies in.
    pub(crate) fn of(pointer: *const u8) -> Self {
        Self::at(pointer.addr()).unwrap_or_else(|| panic!("{pointer:p} is in no mapping"))
    }

    /// The mapping at `address`, if there is one.
    pub(crate) fn at(address: usize) -> Option<Self> {
        let (protection, fields) = entry(address)?;
        let flags = find(&fields, "VmFlags").unwrap_or_default();
        Some(Self { protection, flags: flags.split_whitespace().map(str::to_owned).collect() })
    }

    /// Whether the kernel shows this flag: `hg` huge pages, `nh` none, `lo` locked, `nr` not
    /// reserved.
    pub(crate) fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|have| have == flag)
    }

    pub(crate) fn protection(&self) -> &str {
        &self.protection
    }
}

/// What stands in `field` about the mapping that contains `address`.
pub(crate) fn field(address: usize, field: &str) -> Option<String> {
    find(&entry(address)?.1, field)
}

fn find(fields: &[(String, String)], name: &str) -> Option<String> {
    fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.clone())
}

/// The protection of the mapping that contains `address`, and its fields.
fn entry(address: usize) -> Option<(String, Vec<(String, String)>)> {
    let text = fs::read_to_string("/proc/self/smaps").expect("Linux has /proc");
    let mut lines = text.lines();
    let protection = lines.find_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let number = |text| usize::from_str_radix(text, 16).ok();
        (number(start)?..number(end)?).contains(&address).then(|| rest[..4].to_owned())
    })?;
    let fields = lines.map_while(|line| line.split_once(' ')?.0.strip_suffix(':').zip(line.split_once(' ')));
    let fields = fields.map(|(name, (_, value))| (name.to_owned(), value.trim().to_owned()));
    Some((protection, fields.collect()))
}
