//! The memory limit of the process's control group (cgroups(7)), in version 1 and version 2.
#![forbid(unsafe_code)]

use core::ffi::CStr;

use crate::base::text::Text;
use crate::os;

/// Where a hierarchy is mounted by convention, and the file that holds a group's limit in bytes.
const VERSION_2: (&[u8], &[u8]) = (b"/sys/fs/cgroup", b"memory.max");
const VERSION_1: (&[u8], &[u8]) = (b"/sys/fs/cgroup/memory", b"memory.limit_in_bytes");

/// Longest path of a limit that is read; a longer one counts as none.
const PATH_BYTES: usize = 1024;

/// `percent` of the least limit of the process's group and its ancestors, in bytes. None where
/// `percent` is zero or there is no limit.
pub(crate) fn memory_limit(percent: u8) -> Option<usize> {
    if percent == 0 {
        return None;
    }
    let mut text = [0; 4096];
    let groups = os::read_file(c"/proc/self/cgroup", &mut text).ok()?;
    let bytes = least_limit(groups, read_number)?;
    Some((bytes / 100).saturating_mul(usize::from(percent)))
}

/// The least limit of the groups in `/proc/self/cgroup`'s text; `read` gives the number in a file.
fn least_limit(groups: &[u8], read: impl Fn(&[u8]) -> Option<usize>) -> Option<usize> {
    let lines = groups.split(|byte| *byte == b'\n');
    lines.filter_map(|line| least_of_line(line, &read)).min()
}

/// A line is `number:controllers:path`; version 2 has no controllers there.
fn least_of_line(line: &[u8], read: impl Fn(&[u8]) -> Option<usize>) -> Option<usize> {
    let mut parts = line.splitn(3, |byte| *byte == b':');
    let (_, controllers, group) = (parts.next()?, parts.next()?, parts.next()?);
    let (root, file) = if controllers.is_empty() {
        VERSION_2
    } else if controllers.split(|byte| *byte == b',').any(|name| name == b"memory") {
        VERSION_1
    } else {
        return None;
    };
    // Upwards to the root. In a container the path may be the host's, and not exist here. The root
    // is then the container's own group.
    let mut group = group;
    let mut least = None::<usize>;
    loop {
        let mut path = Text::<PATH_BYTES>::new();
        for part in [root, group, b"/", file, b"\0"] {
            path.bytes(part);
        }
        if !path.is_cut()
            && let Some(limit) = read(path.as_bytes())
        {
            least = Some(least.map_or(limit, |least| least.min(limit)));
        }
        match group.iter().rposition(|byte| *byte == b'/') {
            Some(end) => group = group.get(..end)?,
            None => return least,
        }
    }
}

/// The number in a file. None where it says `max`, or the number by which version 1 says that there
/// is no limit.
fn read_number(path: &[u8]) -> Option<usize> {
    let mut text = [0; 32];
    let text = os::read_file(CStr::from_bytes_with_nul(path).ok()?, &mut text).ok()?;
    let number = core::str::from_utf8(text).ok()?.trim_end().parse::<usize>().ok()?;
    // In version 1 that is `isize::MAX`, rounded down to a page.
    (number < isize::MAX as usize / 2).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn least(groups: &str, files: &[(&str, usize)]) -> Option<usize> {
        let files: HashMap<Vec<u8>, usize> =
            files.iter().map(|(path, limit)| (format!("{path}\0").into_bytes(), *limit)).collect();
        least_limit(groups.as_bytes(), |path| files.get(path).copied())
    }

    #[test]
    fn version_2_and_its_ancestors() {
        let groups = "0::/a/b\n";
        assert_eq!(least(groups, &[("/sys/fs/cgroup/a/b/memory.max", 7)]), Some(7));
        let both = [("/sys/fs/cgroup/a/b/memory.max", 7), ("/sys/fs/cgroup/a/memory.max", 5)];
        assert_eq!(least(groups, &both), Some(5));
        assert_eq!(least(groups, &[]), None);
    }

    #[test]
    fn version_1_among_other_controllers() {
        let groups = "3:cpu,cpuacct:/x\n2:blkio,memory:/a\n1:name=systemd:/a\n0::/\n";
        assert_eq!(least(groups, &[("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", 9)]), Some(9));
        assert_eq!(least(groups, &[("/sys/fs/cgroup/memory/x/memory.limit_in_bytes", 9)]), None);
    }

    #[test]
    fn in_a_container_the_root_is_the_group() {
        let files = [("/sys/fs/cgroup/memory.max", 11), ("/sys/fs/cgroup/memory/memory.limit_in_bytes", 12)];
        assert_eq!(least("0::/docker/abc\n", &files), Some(11));
        assert_eq!(least("4:memory:/docker/abc\n", &files), Some(12));
        assert_eq!(least("0::/\n", &files), Some(11));
    }

    #[test]
    fn nonsense() {
        for groups in ["", "\n", "0:", "::", "a:b:c", "0::/no/such/group\n"] {
            assert_eq!(least(groups, &[]), None);
        }
        let long = format!("0::/{}\n", "x".repeat(5_000));
        assert_eq!(least(&long, &[]), None);
    }
}
